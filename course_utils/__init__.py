"""The small package behind the course: what a notebook uses twice, what students turn, and nothing else.

Names are loaded when they are first used, so that `import course_utils` stays quick and d2l, pandas and matplotlib
are only read where a notebook needs them.
"""

from importlib import import_module

_HOME = {
    "RNNModel": "models",
    "SeqDataLoader": "loaders",
    "Vocab": "text",
    "d2l": "reference",
    "check": "widgets.check",
    "load_corpus_time_machine": "loaders",
    "load_data_time_machine": "loaders",
    "load_run": "saved_runs",
    "predict": "prediction",
    "progress": "widgets.check",
    "set_language": "language",
    "train": "train_live",
    "try_gpu": "devices",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'course_utils' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"course_utils.{_HOME[name]}"), name)


def __dir__():
    return __all__
