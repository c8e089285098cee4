"""Leaving a loop in the middle and coming back to it: how the page stays alive during a long epoch."""

import contextvars
import time

import torch
from greenlet import getcurrent, greenlet
from torch.overrides import _len_torch_function_stack, _pop_mode, _push_mode


class Slices:
    """Runs a function in slices, all in the caller's thread: it waits while others run, then goes on where it was.

    The function is left only within `breathe`, which its model calls before each forward pass, so that nobody has to
    write anything into the loop itself. What torch knows of a thread, whether it wants gradients and its function modes
    (such as `with torch.device(...)`), is kept apart for both sides.

    Args:
        function: what to run, without arguments.
        seconds: how long a slice lasts at least.

    Attributes:
        ended: whether the function has returned, raised or been given up.
        result: what it returned.
    """

    def __init__(self, function, seconds):
        self.result, self._seconds = None, seconds
        self._inside, self._grad, self._modes = greenlet(function), torch.is_grad_enabled(), []
        self._inside.gr_context = contextvars.copy_context()  # prints go to the same cell as the caller's

    @property
    def ended(self):
        return self._inside.dead

    def go_on(self):
        """Run the next slice; raise what the function raises."""
        self._until = time.perf_counter() + self._seconds
        self.result = self._enter(self._inside.switch)

    def give_up(self):
        """End the function where it was left; its `finally` blocks and contexts are run."""
        self._until = float("inf")
        self._enter(self._inside.throw)

    def breathe(self, *details):
        """Leave the function if its slice is over; of calls from elsewhere nothing is asked."""
        if getcurrent() is self._inside and time.perf_counter() >= self._until:
            self._inside.parent.switch(None)

    def _enter(self, switch):
        outside, depth = torch.is_grad_enabled(), _len_torch_function_stack()
        torch.set_grad_enabled(self._grad)
        for mode in self._modes:
            _push_mode(mode)
        try:
            return switch()
        finally:
            self._modes = [_pop_mode() for _ in range(depth, _len_torch_function_stack())][::-1]
            self._grad = torch.is_grad_enabled()
            torch.set_grad_enabled(outside)

    def __deepcopy__(self, memo):
        """Whoever copies the model gets a model; its hook belongs to a loop that knows nothing of the copy."""
        return self
