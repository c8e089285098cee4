"""Execute the course's notebooks and store them: pictures and printed text stay, what changes by itself goes.

    python tools/store_notebooks.py                      every notebook in notebooks/
    python tools/store_notebooks.py notebooks/04*.ipynb  these ones
    python tools/store_notebooks.py --clean-only FILES   do not execute; the exit code is 1 if a file was changed

A notebook with an error in a cell that is not tagged `raises-exception` is not stored.
"""

import argparse
import base64
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from queue import Empty

import nbformat
import psutil
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionComplete, DeadKernelError
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from PIL import Image

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CELL_SECONDS = 300  # a cell that takes longer hangs; the same limit as in the tests
QUIET_SECONDS = 1  # how long the kernel must be silent after the last cell
CELL_METADATA = {"tags", "slideshow", "jupyter", "editable", "deletable"}  # written on purpose; the rest writes itself
PNG = "image/png"
WIDGET = "application/vnd.jupyter.widget-view+json"
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


class CurrentEnvironment(AsyncKernelManager):
    """Starts a kernel in the Python that runs this tool, whatever else is installed under the name python3."""

    def __init__(self, **options):
        own = {"kernel_name": CURRENT_ENV_KERNEL_NAME, "kernel_spec_manager": NbvalKernelspecManager()}
        super().__init__(**{**options, **own})


class Recorder(NotebookClient):
    """Executes a notebook and, as JupyterLab does, lets a cell's output go on changing after the cell has ended."""

    def __init__(self, notebook, folder):
        super().__init__(
            notebook,
            kernel_manager_class=CurrentEnvironment,
            resources={"metadata": {"path": str(folder)}},
            timeout=CELL_SECONDS,
            iopub_timeout=60,  # a busy machine may be slow to deliver pictures
            raise_on_iopub_timeout=True,
            record_timing=False,
            store_widget_state=False,
            on_cell_executed=self.after_cell,
        )
        self.owners, self.peak = {}, 0  # message id -> (cell, index); bytes
        self.seconds, self.since = {}, None  # id of a cell -> how long it took; when the one before it ended

    async def _async_poll_output_msg(self, parent_msg_id, cell, cell_index):
        self.owners[parent_msg_id] = cell, cell_index
        while await self.read_message() != parent_msg_id:
            pass

    async def read_message(self, seconds=None):
        """Put one message of the kernel where it belongs; return the id of the request that it declares finished."""
        message = await self.kc.iopub_channel.get_msg(timeout=seconds)
        parent = message["parent_header"].get("msg_id")
        if parent in self.owners:
            try:
                self.process_message(message, *self.owners[parent])
            except CellExecutionComplete:
                return parent
        return None

    async def after_cell(self, cell, cell_index, execute_reply):
        """Note the time and the memory; after the last cell, wait until nothing comes any more."""
        now = time.perf_counter()
        self.seconds[cell.id] = now - (self.since or now)  # the first one waits for the kernel, which is not its time
        self.since = now
        self.peak = max(self.peak, peak_memory(self.km.provisioner.pid))
        if not any(later.cell_type == "code" for later in self.nb.cells[cell_index + 1 :]):
            try:
                while True:
                    await self.read_message(QUIET_SECONDS)
            except Empty:
                return


def peak_memory(pid):
    """The most bytes a process has held so far; where the system does not say, what it holds now."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1])
    memory = psutil.Process(pid).memory_info()
    return getattr(memory, "peak_wset", memory.rss)


def clean(notebook):
    """Return the notebook without what changes from run to run and from machine to machine."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    for index, cell in enumerate(notebook.cells):
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in cell.metadata if key in CELL_METADATA})
        if cell.cell_type == "code":
            cell.outputs = [clean_output(output, index) for output in merged(cell.outputs)]
    return notebook


def merged(outputs):
    """Join neighbouring pieces of the same stream; of a line rewritten after a carriage return keep the last state."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = re.sub(r"^.*\r(?=[^\r\n])", "", output.text, flags=re.MULTILINE)
    return joined


def clean_output(output, index):
    """Shorten the paths in tracebacks and warnings; give a widget an id that stays the same from run to run."""
    if output.output_type == "error":
        output.traceback = [shorten(line) for line in output.traceback]
    elif output.output_type == "stream" and output.name == "stderr":
        output.text = shorten(output.text)
    elif WIDGET in output.get("data", {}):
        output.data[WIDGET]["model_id"] = f"{index:032x}"
    if PNG in output.get("data", {}):
        output.data[PNG] = with_palette(output.data[PNG])
    return output


def with_palette(picture):
    """Give a PNG in base64 a palette of 256 colours: it halves the file, and GitHub shows no large notebooks."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "P":
        return picture
    buffer = io.BytesIO()
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def shorten(text):
    """Cut paths of this machine down to the part that means something elsewhere."""
    start = r"(?:~|[A-Za-z]:)?[/\\](?:[^\s\x1b\"'()]*[/\\])?"
    text = re.sub(start + r"ipykernel_\d+[/\\]\d+\.py", "<cell>", text)
    return re.sub(start + r"(?=(?:site-packages|python3\.\d+|course_utils)[/\\])", "", text)


def errors(notebook):
    """Return one line for every error stored in a cell that does not promise one."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [
        f"Cell {number}: {output.ename}: {output.evalue}"
        for number, cell in enumerate(cells)
        if "raises-exception" not in cell.metadata.get("tags", [])
        for output in cell.outputs
        if output.output_type == "error"
    ]


def as_text(notebook):
    """The file's text: one format, so that a difference in git is a difference in the notebook."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4) + "\n"


def execute(path):
    """Execute a notebook and store it; return whether that went well."""
    notebook, start = nbformat.read(path, as_version=4), time.perf_counter()
    recorder = Recorder(notebook, path.parent)
    try:
        with tempfile.TemporaryDirectory() as empty:  # without it the maintainer's own guesses would be stored
            recorder.execute(env={**os.environ, "XDG_DATA_HOME": empty})
        found = errors(notebook)
    except (CellControlSignal, DeadKernelError) as error:  # an error in a cell, a time-out, a kernel that died
        found = [str(error)]
    print(f"{path.name}: {time.perf_counter() - start:.0f} s, {recorder.peak / 1e6:.0f} MB at most", flush=True)
    if found:
        print("not stored:", *found, sep="\n", file=sys.stderr)
        return False
    path.write_text(as_text(clean(notebook)), encoding="utf-8", newline="\n")
    return True


def clean_file(path):
    """Clean a stored notebook; return whether it was clean already."""
    before = path.read_text(encoding="utf-8")
    after = as_text(clean(nbformat.reads(before, as_version=4)))
    if after != before:
        print(f"{path.name}: cleaned")
        path.write_text(after, encoding="utf-8", newline="\n")
    return after == before


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="notebooks; without any, all of notebooks/")
    parser.add_argument("--clean-only", action="store_true", help="clean without executing")
    options = parser.parse_args(arguments)
    missing = [str(path) for path in options.files if not path.is_file()]
    if missing:
        parser.error(f"no such file: {', '.join(missing)}")
    handle = clean_file if options.clean_only else execute
    results = [handle(path) for path in options.files or sorted(NOTEBOOKS.glob("*.ipynb"))]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
