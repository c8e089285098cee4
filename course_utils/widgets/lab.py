"""What all labs share: controls above a picture, errors where readers see them, and a picture without JavaScript."""

import base64
import contextlib
import inspect
import sys
import threading

import ipywidgets
from IPython import get_ipython
from IPython.display import display

from course_utils.checks import bound, checked
from course_utils.language import said, say
from course_utils.rules import shown
from course_utils.widgets.faults import Prints, as_html, explain, shorten

DPI = {False: 100, True: 150}  # of the picture, by the presenter switch
WIDE = {"style": {"description_width": "8em"}, "layout": {"width": "auto"}}  # of a control, as wide as its column
# As many columns of controls as there is room for; a value is never cut, even if its slider becomes short. In a window
# that is high enough the picture shrinks until it has room below the controls; 128 pixels are JupyterLab's own. On a
# slide the cell is as high as the window, and the picture gets what the code leaves of it; what stands below it is
# scrolled to. jupyterlab-slideshow hides the menu and leaves its 28 pixels cut at the bottom: the panels get them back.
# It hides prompts too, and leaves what can be clicked over them, on the labels of the first column and half of Start
STYLE = """<style>
.course-lab {font-size: var(--jp-widgets-font-size)}
.course-controls {grid-template-columns: repeat(auto-fill, minmax(min(19em, 100%), 1fr)); max-width: 72em}
.course-lab .widget-readout {flex: none; min-width: 6em; max-width: none; margin-left: 12px}
.course-lab .widget-readout[contenteditable] {min-width: 3em}
.course-lab pre {white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere}
.course-lab pre {font-size: var(--jp-widgets-font-size)}
.course-lab table {font-size: 0.92em}
.course-room > * {flex-shrink: 0}
.course-room > img {flex-shrink: 1; min-height: 0; max-width: 100%; margin: 0; overflow: clip; border-radius: 6px}
@media (min-height: 700px) {.course-room {max-height: calc(100vh - 128px)}}
body[data-jp-deck-mode] :is(#jp-main-vsplit-panel, #jp-main-split-panel, #jp-main-dock-panel) {height: 100vh !important}
.jp-Deck .jp-OutputArea-promptOverlay {display: none}
.jp-Deck .jp-deck-mod-onscreen:has(.course-room) {height: calc(100vh - 20px); overflow-y: auto}
.jp-Deck .jp-deck-mod-onscreen:has(.course-room) {display: flex; flex-direction: column}
.jp-Deck .jp-Cell :has(.course-room) {display: flex; flex: 1 1 0; min-width: 0; min-height: 0; overflow: visible}
.jp-Deck :is(.jp-OutputArea, .jp-OutputArea-output):has(.course-room) {flex-direction: column}
.jp-Deck .course-lab > * {flex-shrink: 0}
.jp-Deck .course-room {max-height: max(100% - 40px, 65vh)}
.course-presenter {--jp-widgets-font-size: 20px; --jp-widgets-inline-height: 32px; --jp-widgets-radio-item-height: 36px}
</style>"""


class Lab(ipywidgets.VBox):
    """A column of controls over a picture that `update()` draws anew whenever a control changes.

    A subclass implements `draw()`, which reads the controls and returns a `plots.Picture`. Every control becomes a
    public attribute of its name. An error in a callback is shown in the lab and raised again. Every lab has a switch
    `presenter`, which enlarges all type for a projector.

    Args:
        controls: name -> ipywidgets control with a `value`.

    Attributes:
        record: in most labs, what the picture shows; `plots.<the lab's subject>_picture(lab.record)` draws it without
            the lab.
        refusals: types of errors that are no fault of anybody's code, such as sizes that do not fit: once there is a
            picture, it stays, and the error's one sentence is shown above it.
    """

    refusals = ()

    def __init__(self, controls):
        __tracebackhide__ = True  # of an error in the reader's code, IPython shows her cell and her code
        self._lock = threading.RLock()  # JupyterLab delivers slider moves in a second thread while a cell runs
        self.picture = ipywidgets.Image(format="png", layout={"align_self": "flex-start"})
        self.errors, self.printed = ipywidgets.HTML(), ipywidgets.HTML()
        self.presenter = ipywidgets.Checkbox(False, description=say("presenter: larger type"), indent=False)
        self.presenter.observe(self._on_presenter, names="value")
        self.controls = controls
        for name, control in controls.items():
            if hasattr(self, name):
                raise ValueError(f"a control is named {name!r}, as something of every lab is; give it another name")
            if not (hasattr(control, "value") and hasattr(control, "observe")):
                raise ValueError(f"{name} is {shown(control)}; it must be a widget with a value, such as int_slider()")
        for name, control in controls.items():
            setattr(self, name, control)
            control.observe(self._on_change, names="value")
        style = ipywidgets.HTML(STYLE, layout={"display": "none"})
        room = ipywidgets.VBox([*self.arrange(), self.picture]).add_class("course-room")
        super().__init__([room, self.printed, *self.below(), self.presenter, style])
        self.add_class("course-lab")
        close_those_before(self)
        try:
            self.update()
        except Exception:
            if get_ipython():  # the cell ends here, and would show no lab with the error in it
                display(self)
            raise

    def arrange(self):
        """Return the widgets above the picture: the controls, and the place for an error."""
        return [ipywidgets.GridBox([*self.controls.values()]).add_class("course-controls"), self.errors]

    def below(self):
        """Return the widgets below the picture; here none."""
        return []

    def draw(self):
        """Return the `plots.Picture` that belongs to the controls' values."""
        raise NotImplementedError

    def update(self):
        """Draw the picture anew. Of several waiting calls only one draws, so that a fast drag queues nothing."""
        self._stale = True
        with self._lock, self.guard():
            if self._stale:
                self._stale = False  # before the controls are read: a change from here on asks for one more picture
                self.printed.value = ""
                self.picture.value = self.draw().png(DPI[self.presenter.value])
                self.errors.value = ""

    def guard(self):
        """Inside, an error is shown in the lab before it goes on its way; one of `refusals` ends here."""
        return Guard(self)

    def show_error(self, sentence, more=""):
        """Write in the place for an error, what is more about it folded; the next good update wipes it away."""
        self.errors.value = as_html(sentence, more)

    def close(self):
        """Close the lab with every widget that it is made of: controls, layouts and styles too."""
        for part in parts(self) if self.comm is not None else []:
            super(Lab, part).close() if part is self else part.close()

    def _on_change(self, change):
        self.update()

    def _on_presenter(self, change):
        (self.add_class if change["new"] else self.remove_class)("course-presenter")
        self.update()

    def _repr_mimebundle_(self, **kwargs):
        """The live widget, and beside it the picture for readers without one: GitHub, nbviewer, HTML, PDF."""
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["image/png"] = base64.b64encode(self.picture.value).decode("ascii")
        return bundle


class Guard(contextlib.ContextDecorator):
    """The context of `Lab.guard`; what the code inside prints is shown in the lab too."""

    def __init__(self, lab):
        self.lab = lab

    def __enter__(self):
        self.prints = Prints().__enter__()

    def __exit__(self, kind, error, frames):
        self.prints.__exit__()
        if self.prints.text:
            self.lab.printed.value = self.prints.as_html()
        if error is None:
            return False
        refused = isinstance(error, self.lab.refusals) and bool(self.lab.picture.value)
        if refused:
            self.lab.show_error(str(error))
        else:  # an interrupt too: the picture is not that of the controls
            shorten(error)
            self.lab.show_error(*explain(error))
        return refused


def parts(widget, found=()):
    """Return a widget with all widgets that it is made of, each one once."""
    found = [*found, widget]
    for name in widget.keys:
        value = getattr(widget, name)
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, ipywidgets.Widget) and part not in found:
                found = parts(part, found)
    return found


def close_those_before(lab):
    """Once this cell has ended, close the labs of its last run, unless the reader keeps them under a name."""
    shell = get_ipython()
    request = shell.kernel.get_parent("shell") if hasattr(shell, "kernel") else {}
    cell, run = request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id")
    if cell is None:  # no notebook, or one that names no cells
        return
    before, labs = _LABS.pop(cell, (run, []))
    _LABS[cell] = run, [lab] if before != run else [*labs, lab]
    if before == run or not labs:
        return

    def close(*_):
        shell.events.unregister("post_run_cell", close)
        kept = [value for name, value in shell.user_ns.items() if not name.startswith("_")]
        for old in labs:
            if not any(value is old for value in kept):
                old.close()

    shell.events.register("post_run_cell", close)


_LABS = {}  # cell -> (its latest run, the labs that were opened in it)


class FunctionLab(Lab):
    """A lab around one function of the reader's, which takes the controls' values by name and returns a picture."""

    @checked()
    def __init__(self, function, **controls):
        __tracebackhide__ = True
        bound(function, inspect.signature(function), (), controls)
        self.function = Latest(function)
        super().__init__(controls)

    def draw(self):
        return self.function(**{name: control.value for name, control in self.controls.items()})


class Latest:
    """A function or class of the reader's, found anew by its name at each use.

    A cell that is run again binds the name to a new function: a lab that was opened before works with it from then on.
    Whatever was not bound to its own name when it was handed over, such as an older version kept on purpose, stays.
    """

    def __init__(self, thing):
        self.thing, self.follows = thing, self._bound_to(thing) is thing

    def __call__(self, *args, **kwargs):
        return self.now()(*args, **kwargs)

    def now(self):
        """What the name stands for now."""
        return self._bound_to(self.thing) if self.follows else self.thing

    @staticmethod
    def _bound_to(thing):
        module = sys.modules.get(getattr(thing, "__module__", None))
        found = getattr(module, getattr(thing, "__qualname__", ""), thing)
        return found if callable(found) else thing


def int_slider(description, value, low, high, step=1):
    """A labelled slider over whole numbers."""
    return ipywidgets.IntSlider(value, low, high, step, description=say(description), **WIDE)


def choice(description, options, value=None):
    """A labelled slider over a few names; in JupyterLab a focused drop-down list loses its keys to the notebook.

    In another language the names are shown in it; the value stays as it was handed over.
    """
    value = options[0] if value is None else value
    names = [said(option) for option in options]
    options = options if names == [*options] else [*zip(map(str, names), options, strict=True)]
    return ipywidgets.SelectionSlider(options=options, value=value, description=say(description), **WIDE)
