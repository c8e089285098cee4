"""Which processor a notebook computes on."""

import torch


def try_gpu(i=0):
    """Return the best device there is: NVIDIA GPU number `i`, else Apple's GPU (MPS), else the CPU.

    Args:
        i: number of the NVIDIA GPU, counted from 0.
    """
    if torch.cuda.device_count() > i:
        return torch.device("cuda", i)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def describe(device):
    """Name a device in words, such as 'cpu (2 threads)' or 'cuda:0 (NVIDIA H200)'."""
    device = torch.device(device)
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    return str(device)
