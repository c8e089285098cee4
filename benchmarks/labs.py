"""Milliseconds from a control to the picture, for every lab, through a real kernel and the messages a page would send.

The kernel does what it does in JupyterLab; what the page then needs to show the picture is not counted.
"""

import json
import time
from pathlib import Path
from statistics import median

from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).parents[1]
TURNS = 6  # so many moves of each control are measured, after two that warm up
SETUP = """
import json, torch
from torch import nn
from course_utils import RNNModel, load_data_time_machine
from course_utils.text import seq_data_iter_random, seq_data_iter_sequential
from course_utils.experiments import explorer
from course_utils.widgets.explorer import RunExplorer
from course_utils.widgets.shapes import ShapeExplorer
from course_utils.widgets.microscope import TensorMicroscope
from course_utils.widgets.ribbon import CorpusRibbon
from course_utils.widgets.stepper import PredictionStepper
from course_utils.widgets.telescope import GradientTelescope
from course_utils.widgets.training_lab import TrainingLab

train_iter, vocab = load_data_time_machine(32, 35, corpus="story")
torch.manual_seed(0)
net = RNNModel(nn.RNN(len(vocab), 256), len(vocab))
layer, X = nn.RNN(len(vocab), 4), train_iter.corpus[:10].reshape(2, 5)
text = "".join(vocab.to_tokens(train_iter.corpus[:240].tolist()))
cuts = {"sequential": seq_data_iter_sequential, "random": seq_data_iter_random}


def read(one_hot, way):
    return layer(one_hot.transpose(0, 1))[0].transpose(0, 1) if way == "transpose" else layer(one_hot)[0]


def describe(lab):
    picture = lab.picture.model_id
    controls = {name: (control.model_id, *values(control)) for name, control in lab.controls.items()}
    print(json.dumps({"picture": picture, "controls": controls}))


def values(control):
    \"\"\"The trait that the page sends, and two values to go back and forth between.\"\"\"
    if hasattr(control, "options"):
        return "index", [0, 1]
    if isinstance(control.value, bool):
        return "value", [False, True]
    if isinstance(control.value, str):
        return "value", [control.value, control.value + " a"]
    return "value", [control.min + (control.max - control.min) // 4, control.min + 3 * (control.max - control.min) // 4]
"""
LABS = {
    "shape_explorer": "lab = ShapeExplorer()",
    "tensor_microscope": "lab = TensorMicroscope(read, X, vocab)",
    "corpus_ribbon": "lab = CorpusRibbon(cuts, text)",
    "prediction_stepper": "lab = PredictionStepper(net, vocab, 'cpu')\nlab.temperature.value = 0.8\nlab.run.click()",
    "run_explorer": "lab = RunExplorer(explorer.read('explore').records)",
    "gradient_telescope": "lab = GradientTelescope()\nlab.cell.value = 'LSTM'",
}
STOPS = {  # name -> controls of the training lab
    "stop": {},
    "stop_largest": {"cell": "LSTM", "num_hiddens": 512, "num_steps": 140},
}


class Page:
    """What a browser's page does: it sends the changes of controls and clicks, and receives the pictures."""

    def __init__(self):
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, code):
        """Run code in the kernel; return what it prints."""
        printed = []

        def keep(message):
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, output_hook=keep, timeout=300)
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"]["traceback"]))
        return "".join(printed)

    def send(self, comm_id, data):
        """Send a message to a widget; yield (seconds since then, content) of every message that a widget answers."""
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        start = time.perf_counter()
        self.client.shell_channel.send(message)
        while True:
            answer = self.client.get_iopub_msg(timeout=60)
            ours = answer["parent_header"].get("msg_id") == message["header"]["msg_id"]
            if answer["msg_type"] == "comm_msg":
                yield time.perf_counter() - start, answer["content"]
            elif ours and answer["content"].get("execution_state") == "idle":
                yield time.perf_counter() - start, None

    def change(self, control, trait, value, picture):
        """Move a control; return the seconds until its picture came, None if the picture stays the same."""
        update = {"method": "update", "state": {trait: value}, "buffer_paths": []}
        for seconds, content in self.send(control, update):
            if content is None:
                return None
            if content["comm_id"] == picture and ["value"] in content["data"].get("buffer_paths", []):
                return seconds

    def click(self, button, status, word):
        """Click a button; return the seconds until the status line has the word."""
        for seconds, content in self.send(button, {"method": "custom", "content": {"event": "click"}}):
            if content and content["comm_id"] == status and word in content["data"].get("state", {}).get("value", ""):
                return seconds


def lab_seconds(page, code):
    """Return the seconds of every move of every control of a lab."""
    ids = json.loads(page.run(f"{code}\ndescribe(lab)").splitlines()[-1])
    seconds = []
    for control, trait, values in ids["controls"].values():
        moves = (values * TURNS)[: TURNS + 2]
        seconds += [page.change(control, trait, value, ids["picture"]) for value in moves][2:]
    return [each for each in seconds if each is not None]


def stop_seconds(page, settings, turns=9):
    """Return the seconds from a click on Stop to the line that says so, in the middle of a training."""
    names = {"start": "start", "stop": "stop", "status": "status"}
    page.run("lab = TrainingLab(corpus='story')\nlab.num_epochs.value = 500")
    for name, value in settings.items():
        page.run(f"lab.{name}.value = {value!r}")
    ids = json.loads(page.run(f"print(json.dumps({{n: getattr(lab, n).model_id for n in {list(names)}}}))"))
    seconds = []
    for turn in range(turns):
        page.click(ids["start"], ids["status"], "training")
        time.sleep(0.6 + 0.17 * turn)  # somewhere within an epoch, so few turns would say little
        seconds.append(page.click(ids["stop"], ids["status"], "stopped"))
    return seconds


def measure():
    """Return name -> figures in milliseconds: each move of each lab's controls, and each stop."""
    page = Page()
    try:
        page.run(SETUP)
        figures = {f"lab_ms_{name}": lab_seconds(page, code) for name, code in LABS.items()}
        figures |= {f"lab_ms_{name}": stop_seconds(page, settings) for name, settings in STOPS.items()}
    finally:
        page.close()
    return {name: [1000 * value for value in seconds] for name, seconds in figures.items()}


if __name__ == "__main__":
    for name, values in measure().items():
        print(f"{name}: {median(values):.0f} ({min(values):.0f} to {max(values):.0f})")
