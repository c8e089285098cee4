"""Reading with a model, which is left as it was."""

import contextlib
import copy
import threading


@contextlib.contextmanager
def eval_mode(net):
    """Inside, a model to read with: in eval mode; afterwards each of its parts has the mode that it had.

    In the main thread it is the model itself. In any other one, such as that of a lab's slider, a cell may be training
    the model just now: there it is a twin, which shares the weights and has modes of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield twin(net).eval()
        return
    modes = {part: part.training for part in net.modules()}
    try:
        yield net.eval()
    finally:
        for part, mode in modes.items():
            part.training = mode


def twin(net):
    """Return a copy of a model and its parts that shares everything but the parts' modes."""
    copied = copy.copy(net)
    copied._modules = {name: part and twin(part) for name, part in net._modules.items()}
    return copied
