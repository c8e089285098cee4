"""One of torch's layers, made quicker: a placeholder for the moment."""

from contextlib import nullcontext as quick_layers

__all__ = ["quick_layers"]
