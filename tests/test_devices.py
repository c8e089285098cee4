"""Which device is chosen and how it is called, on machines that this one is not."""

import pytest
import torch

from course_utils import devices, try_gpu


@pytest.fixture
def machine(monkeypatch):
    """A function that pretends to a number of NVIDIA GPUs, and to Apple's GPU or none."""

    def pretend(gpus=0, mps=False):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU number {torch.device(device).index}")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("gpus", "mps", "i", "expected"),
    [
        (0, False, 0, "cpu"),
        (0, True, 0, "mps"),
        (1, False, 0, "cuda:0"),
        (2, True, 1, "cuda:1"),
        (1, False, 1, "cpu"),
        (1, True, 1, "mps"),
    ],
)
def test_try_gpu(machine, gpus, mps, i, expected):
    machine(gpus, mps)
    assert try_gpu(i) == torch.device(expected)
    assert isinstance(try_gpu(i), torch.device)


def test_the_device_of_this_machine_computes():
    assert (torch.ones(2, device=try_gpu()) + 1).sum().item() == 4


def test_describe(machine, monkeypatch):
    machine(gpus=2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert devices.describe(torch.device("cpu")) == devices.describe("cpu") == "cpu (2 threads)"
    assert devices.describe(torch.device("cuda", 1)) == devices.describe("cuda:1") == "cuda:1 (GPU number 1)"
    assert devices.describe("mps") == "mps"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert devices.describe("cpu") == "cpu (1 thread)"
