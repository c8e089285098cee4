"""The recorded step gives the taught loop's numbers: tested on a CPU, where "recording" hands the step back as it is.

What only a GPU can show, that the CUDA graph itself does the same, is tested where there is one.
"""

import copy

import pytest
import torch
from torch import nn

from course_utils import RNNModel, fast, training
from course_utils.fast import cpu, gpu

CELLS = [nn.RNN, nn.GRU, nn.LSTM]


def model(cell=nn.RNN, **options):
    torch.manual_seed(0)
    return RNNModel(cell(11, 8, **options), 11)


class Batches(list):
    def __init__(self, sampling, shapes):
        generator = torch.Generator().manual_seed(1)
        super().__init__(torch.randint(11, (2, *shape), generator=generator) for shape in shapes)
        self.sampling = sampling


class Recorder:
    """In place of `gpu.record`: counts, and puts noise into everything that a real recording would touch."""

    def __init__(self, fails=False):
        self.recorded, self.replayed, self.fails = 0, 0, fails

    def __call__(self, step, device):
        self.recorded += 1
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        for _ in range(4):
            step()

        def replay():
            self.replayed += 1
            step()

        return replay


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sampling", ["sequential", "random"])
@pytest.mark.parametrize("recipe", [training.sgd, training.one_cycle])
def test_epochs_equal_the_taught_ones(cell, sampling, recipe):
    ours = model(cell, num_layers=2)
    ours.linear.weight.data *= 30  # so that there are gradients to clip
    theirs, windows, recorder = copy.deepcopy(ours), Batches(sampling, [(3, 5)] * 4), Recorder()
    epoch, optimizers = gpu.GraphedEpoch(recorder), [recipe(net, 0.05, 12) for net in (ours, theirs)]
    for _ in range(3):
        mine = epoch(ours, windows, optimizers[0], "cpu")
        assert mine == pytest.approx(training.train_epoch(theirs, windows, optimizers[1], "cpu"), rel=1e-5)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert (recorder.recorded, recorder.replayed) == (1, 12)


def test_another_shape_or_model_is_recorded_anew():
    first, second, recorder = model(), model(nn.GRU), Recorder()
    epoch = gpu.GraphedEpoch(recorder)
    for net, shapes in ((first, [(3, 5)]), (first, [(3, 5), (2, 4)]), (second, [(2, 4)])):
        twin, windows = copy.deepcopy(net), Batches("random", shapes)
        mine = epoch(net, windows, training.sgd(net, 1, 1), "cpu")
        assert mine == pytest.approx(training.train_epoch(twin, windows, training.sgd(twin, 1, 1), "cpu"), rel=1e-5)
    assert recorder.recorded == 3


def test_a_failed_recording_warns_once_and_trains_all_the_same():
    ours, recorder, windows = model(), Recorder(fails=True), Batches("sequential", [(3, 5)] * 4)
    theirs, epoch = copy.deepcopy(ours), gpu.GraphedEpoch(recorder)
    optimizers = [training.sgd(net, 1, 1) for net in (ours, theirs)]
    with pytest.warns(UserWarning, match=r"no CUDA graph .* goes on without one: operation not permitted"):
        mine = epoch(ours, windows, optimizers[0], "cpu")
    assert mine == pytest.approx(training.train_epoch(theirs, windows, optimizers[1], "cpu"), rel=1e-5)
    epoch(ours, windows, optimizers[0], "cpu")
    assert recorder.recorded == 1


def test_the_model_is_left_in_training():
    net = model().eval()
    gpu.GraphedEpoch(Recorder())(net, Batches("random", [(3, 5)]), training.sgd(net, 1, 1), "cpu")
    assert net.training


class Edited(RNNModel):
    pass


def hooked():
    net = model()
    net.rnn.register_forward_hook(lambda *_: None)
    return net


def hooked_before():
    net = model()
    net.linear.register_forward_pre_hook(lambda *_: None)
    return net


def another_forward():
    net = model()
    net.forward = net.forward
    return net


def frozen():
    net = model()
    net.linear.bias.requires_grad_(False)
    return net


@pytest.mark.parametrize("cell", CELLS)
def test_on_a_gpu_the_books_model_is_recorded(cell):
    assert isinstance(fast.choose(model(cell), torch.device("cuda")), gpu.GraphedEpoch)
    assert not gpu.applies(model(cell), "cpu")


@pytest.mark.parametrize("build", [lambda: Edited(nn.RNN(11, 8), 11), hooked, hooked_before, another_forward, frozen])
def test_what_a_graph_could_not_say_is_left_to_the_taught_loop(build):
    assert fast.choose(build(), torch.device("cuda")) is training.train_epoch


def test_every_device_has_its_loop():
    assert fast.choose(model(), torch.device("mps")) is training.train_epoch
    assert fast.choose(model(nn.GRU), torch.device("cpu")) is training.train_epoch
    chosen = fast.choose(model(), torch.device("cpu"))
    assert getattr(chosen, "func", chosen) is (cpu.train_epoch if cpu.has_product() else training.train_epoch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU on this machine")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_a_real_graph_equals_the_taught_loop(cell, sampling):
    device = torch.device("cuda")
    ours = model(cell).to(device)
    theirs, windows = copy.deepcopy(ours), Batches(sampling, [(3, 5)] * 6)
    epoch, optimizers = gpu.GraphedEpoch(), [training.sgd(net, 0.5, 1) for net in (ours, theirs)]
    for _ in range(2):
        mine = epoch(ours, windows, optimizers[0], device)
        assert mine == pytest.approx(training.train_epoch(theirs, windows, optimizers[1], device), rel=1e-3)
    assert not epoch.failed
