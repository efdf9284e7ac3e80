"""Which device this machine runs best."""

from __future__ import annotations

import os
from pathlib import Path

import torch


class DeviceError(Exception):
    """The device asked for is not there. The message is one sentence for a user."""


def choose_device(wanted: str) -> torch.device:
    """ "auto", "cpu", "cuda" or "cuda:N" → a device. Raises DeviceError."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise DeviceError(f"There is no device {wanted!r}: say auto, cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"The engine runs on cpu and cuda, not on {wanted!r}.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError("No CUDA device is available to torch: use --device cpu, or install a CUDA build of torch.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"There is no {wanted}: torch sees {torch.cuda.device_count()} CUDA device(s).")
    return device


def cpu_flags() -> frozenset[str]:
    """Feature flags of the first core, as Linux names them; empty where it does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def choose_threads(wanted: int | None) -> int:
    """CPU threads of a step: what is asked for, or all cores but one, which the gateway and its VAD need."""
    return wanted or max(1, len(os.sched_getaffinity(0)) - 1)
