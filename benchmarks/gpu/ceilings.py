"""What the device can do at most: memory that it reads a second, and multiplications of matrices."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device, tries: int = 5) -> float:
    """The fastest of some runs, after one that warms up."""
    work()
    best = float("inf")
    for _ in range(tries):
        synchronise(device)
        began = time.perf_counter()
        work()
        synchronise(device)
        best = min(best, time.perf_counter() - began)
    return best


def bytes_per_s(device: torch.device, megabytes: int = 256) -> float:
    """Read plus written by a copy much larger than the caches."""
    source = torch.ones(megabytes << 18, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source), device)


def flops_per_s(device: torch.device, dtype: torch.dtype, size: int = 2048) -> float:
    """Of a square product in the model's precision, a multiplication and an addition counted as two."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device)
