"""The book's own code, made importable beside today's packages: `from course_utils import d2l`.

d2l 0.17.0 is the last release whose requirements still install. Four things have moved since; each is mended here and
nowhere else, and the book's functions themselves stay untouched:

- it imports torchvision, which this section never uses; where the real one cannot be imported, empty placeholders serve
  while d2l is read, and are taken away again: a reader's own import of torchvision shall say the truth;
- it calls `IPython.display.set_matplotlib_formats`, which is now in matplotlib_inline;
- torch now warns when it adds up losses that still carry a gradient; nothing is wrong, and the warning is left out;
- its download checks neither status nor hash; The Time Machine comes from `corpora` instead, or the story offline.
"""

import contextlib
import importlib
import sys
import types
import warnings

from IPython import get_ipython
from matplotlib_inline.backend_inline import set_matplotlib_formats

from course_utils import corpora


@contextlib.contextmanager
def _torchvision():
    """Inside, torchvision can be imported: the real one, or empty modules in its place."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, AttributeError, OSError):  # missing, or built for another torch
        _forget_torchvision()
    else:
        yield
        return
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules[name] = types.ModuleType(name, "An empty placeholder, for d2l alone.")
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
    try:
        yield
    finally:
        _forget_torchvision()


def _forget_torchvision():
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def _absent(name):
    """What d2l answers for a name that it has not, such as `TimeMachine`."""
    raise AttributeError(
        f"d2l 0.17.0 has no {name!r}: it belongs to the book's edition with load_data_time_machine, RNNModel and "
        "train_ch8; what the newer edition has instead, such as TimeMachine, came with d2l 1.0"
    )


def _use_png_display():
    """Show pyplot figures as PNG in a notebook, as the course's own figures are; SVG would store a date."""
    if get_ipython() is not None:  # in a plain script there is nothing to set, and asking would start a shell
        set_matplotlib_formats("png")


def _import():
    with _torchvision():
        book = importlib.import_module("d2l.torch")
    download = book.download

    def download_text(name, *args, **kwargs):
        """The book's `download`, but The Time Machine is cached, checked and available offline as the story."""
        if name != "time_machine":
            return download(name, *args, **kwargs)
        found = corpora.find("auto")
        print(corpora.wrapped(str(found)))
        return str(found.path)

    warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True to a scalar", module="d2l")
    book.download = download_text
    book.use_svg_display, book.__getattr__ = _use_png_display, _absent
    return book


d2l = _import()
