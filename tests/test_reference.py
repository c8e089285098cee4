"""The book's own code beside today's packages: importable, offline, and otherwise untouched."""

import hashlib
import importlib
import os
import subprocess
import sys
import types
from unittest import mock

import nbclient
import nbformat
import pytest
import torch

import course_utils
from course_utils import corpora, d2l, load_corpus_time_machine, reference

# the book's use of its own functions, with one line changed and fewer epochs
LISTING = """
import torch
from torch import nn
from torch.nn import functional as F
from course_utils import d2l

batch_size, num_steps = 32, 35
train_iter, vocab = d2l.load_data_time_machine(batch_size, num_steps)
num_hiddens = 64
rnn_layer = nn.RNN(len(vocab), num_hiddens)
device = d2l.try_gpu()
net = d2l.RNNModel(rnn_layer, vocab_size=len(vocab)).to(device)
print(d2l.predict_ch8('time traveller', 10, net, vocab, device))
num_epochs, lr = 20, 1
d2l.train_ch8(net, train_iter, vocab, lr, num_epochs, device)
"""


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache, and no way to any server, in this process's children too."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: refused at once
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_books_listing_runs_as_a_script(offline):
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    code = f"import sys, course_utils; print('d2l' in sys.modules)\n{LISTING}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("False\n")  # the book is not loaded before it is asked for
    assert "Text: the course's own story (The Time Machine was not downloaded: " in result.stdout
    assert result.stdout.count("\ntime traveller") == 4  # before, after epochs 10 and 20, and at the end
    assert "tokens/sec on" in result.stdout
    assert "Warning" not in result.stderr
    assert not list(offline.rglob("timemachine.txt"))


def test_the_books_listing_runs_in_a_notebook_with_its_plot(offline):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LISTING)])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=300).execute()
    outputs = notebook.cells[0].outputs
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert printed.startswith("perplexity ")  # the book's plot clears what stood above it
    assert printed.count("time traveller") == 1
    pictures = [output.data for output in outputs if "image/png" in output.get("data", {})]
    assert pictures
    assert all("image/svg+xml" not in picture for picture in pictures)


def test_it_is_the_books_module():
    assert d2l is importlib.import_module("d2l.torch") is course_utils.d2l is reference.d2l
    for name in ("RNNModel", "train_ch8", "predict_ch8", "try_gpu", "Vocab", "Animator"):
        assert getattr(d2l, name).__module__ == "d2l.torch"


@pytest.mark.parametrize("found", ["story", "own"])
def test_the_books_text_is_the_courses_text(found, monkeypatch, capsys, tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("A time traveller\nand his boot")
    path = corpora.STORY_PATH if found == "story" else path
    monkeypatch.setattr(corpora, "find", lambda corpus: corpora.Corpus("a text", path))
    corpus, vocab = d2l.load_corpus_time_machine()
    assert capsys.readouterr().out == "Text: a text.\n"
    ours, our_vocab = load_corpus_time_machine(tokens="letters")
    assert corpus == ours
    assert vocab.idx_to_token == our_vocab.idx_to_token


def test_other_downloads_are_the_books_own(tmp_path, monkeypatch):
    kept = tmp_path / "houses.csv"  # where the book looks before it asks the server
    kept.write_bytes(b"house,price\n1,2\n")
    address = "http://127.0.0.1:9/houses.csv", hashlib.sha1(kept.read_bytes()).hexdigest()
    monkeypatch.setitem(d2l.DATA_HUB, "houses", address)
    assert d2l.download("houses", str(tmp_path)) == d2l.download("houses", cache_dir=str(tmp_path)) == str(kept)
    with pytest.raises(AssertionError, match="nothing_like_this"):
        d2l.download("nothing_like_this")


@pytest.fixture
def torchvision(tmp_path, monkeypatch):
    """A function that makes `import torchvision` run the given code, in this test only."""

    def write(code):
        (tmp_path / "torchvision").mkdir()
        (tmp_path / "torchvision" / "__init__.py").write_text(code)
        (tmp_path / "torchvision" / "transforms.py").write_text("REAL = True")
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

    others = {name: module for name, module in sys.modules.items() if name.split(".")[0] != "torchvision"}
    with mock.patch.dict(sys.modules, others, clear=True):
        yield write


@pytest.mark.parametrize(("code", "real"), [
    ("from torchvision import transforms", True),
    ("raise ImportError('no module named torchvision._C')", False),
    ("from torchvision import transforms; raise RuntimeError('operator torchvision::nms does not exist')", False),
    ("import torchvision; torchvision.extension", False),
    ("raise OSError('undefined symbol')", False),
])  # fmt: skip
def test_a_torchvision_that_works_is_used_and_a_broken_one_replaced(code, real, torchvision):
    torchvision(code)
    for _ in range(2):
        with reference._torchvision():
            transforms = importlib.import_module("torchvision.transforms")
            assert sys.modules["torchvision"].transforms is transforms
            assert hasattr(transforms, "REAL") == real
        assert (sys.modules.get("torchvision.transforms") is transforms) == real  # no placeholder stays


def test_a_name_of_another_edition_is_said_to_be_one():
    with pytest.raises(AttributeError, match=r"d2l 0\.17\.0 has no 'TimeMachine': .* newer edition"):
        _ = d2l.TimeMachine
    assert not hasattr(d2l, "TimeMachine")


def test_display_formats_are_set_in_a_notebook_only(monkeypatch):
    formats = []
    monkeypatch.setattr(reference, "set_matplotlib_formats", formats.append)
    for shell, expected in ((None, []), (types.SimpleNamespace(), ["png"])):
        monkeypatch.setattr(reference, "get_ipython", lambda shell=shell: shell)
        d2l.use_svg_display()
        assert formats == expected


def test_the_books_model_takes_the_courses_batches():
    train_iter, vocab = course_utils.load_data_time_machine(2, 5, corpus="story")
    net = d2l.RNNModel(torch.nn.GRU(len(vocab), 8), len(vocab))
    logits, _ = net(next(iter(train_iter))[0], net.begin_state("cpu", 2))
    assert logits.shape == (10, len(vocab))
