"""Work that goes on while the page stays alive: a task on the kernel's asyncio loop, and wishes from other threads."""

import asyncio
import contextlib

SECONDS_FOR_THE_PAGE = 0.005  # after each piece of work, so that the loop hears of a button


class Tasks:
    """For a `Lab` that trains: one task at a time, on the loop that runs where the lab was opened or began the task."""

    loop = task = None

    @property
    def busy(self):
        """Whether the task is still at work."""
        return self.task is not None and not self.task.done()

    def do(self, action):
        """Run `action` in the thread of the lab's loop: now, or as soon as that loop is free."""
        guarded = self.guard()(action)  # a context manager is a decorator too
        if self.loop is None or self.loop is running_loop() or not self.loop.is_running():
            guarded()
        else:
            self.loop.call_soon_threadsafe(guarded)

    def begin(self, work, *arguments):
        """Begin `work(*arguments)`, a coroutine function, as a task; RuntimeError where no loop runs.

        An error of the task is raised by `finished`, and told to the loop at once, so that a test sees it too.
        """
        self.loop = running_loop()
        if self.loop is None:
            raise RuntimeError("a lab trains in a notebook; in a script call course_utils.train, or sweep")
        self.task = self.loop.create_task(work(*arguments))
        self.task.add_done_callback(self._ended)

    def _ended(self, task):
        if not task.cancelled() and (error := task.exception()):
            report = f"Task exception in {type(self).__name__}"
            self.loop.call_exception_handler({"message": report, "exception": error})

    async def finished(self):
        """Wait for the end of the task; return what it returned, raise what made it fail."""
        if self.task is None:
            raise RuntimeError("nothing was started; press the button or click it by code first")
        await asyncio.wait([self.task])
        return None if self.task.cancelled() else self.task.result()


def running_loop():
    with contextlib.suppress(RuntimeError):  # None without one
        return asyncio.get_running_loop()
