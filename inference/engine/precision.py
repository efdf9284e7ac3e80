"""In which precision this machine multiplies: those it has units for are timed at the start, the fastest is taken."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from inference.engine.device import DeviceError, cpu_flags
from inference.whisper.model import Linear
from inference.whisper.quantised import QuantisedLinear, has_int8_units

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_BF16_UNITS = frozenset({"amx_bf16", "avx512_bf16"})
_ROWS, _WIDTH, _INNER = 64, 384, 1536
"""The products that are timed: 64 rows, about what a step has, through the two halves of a small feed-forward layer."""
_RUNS = 15
_WORTH = 1.25
"""A lower precision must be so much faster than float32: noise shall not choose it."""


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """ "auto" or the name of a precision → a precision.

    Raises:
        DeviceError: it is unknown, or the device has no units for it.
    """
    if wanted == "auto":
        return fastest(time_precisions(device))
    found = next((name for name in PRECISIONS if name == wanted), None)
    if found is None:
        raise DeviceError(f"There is no precision {wanted!r}: say auto, {', '.join(PRECISIONS)}.")
    if found == "int8" and found not in available(device):
        raise DeviceError("This processor has no units for int8 (VNNI or AMX): say auto or float32.")
    return found


def available(device: torch.device) -> tuple[Precision, ...]:
    """Those that the device has units for."""
    if device.type == "cuda":
        return ("float32", "bfloat16") if torch.cuda.is_bf16_supported() else ("float32",)
    flags = cpu_flags()
    bfloat16: tuple[Precision, ...] = ("bfloat16",) if flags & _BF16_UNITS else ()
    int8: tuple[Precision, ...] = ("int8",) if has_int8_units(flags) else ()
    return ("float32", *bfloat16, *int8)


def time_precisions(device: torch.device) -> dict[Precision, float]:
    """Microseconds that a feed-forward layer's products take in each available precision; 0 where nothing was timed.

    On CUDA nothing is: bfloat16 is taken where it is supported.
    """
    names = available(device)
    if device.type == "cuda" or len(names) == 1:
        return dict.fromkeys(names, 0.0)
    torch.manual_seed(0)
    weights = torch.randn(_INNER, _WIDTH) * 0.05, torch.randn(_WIDTH, _INNER) * 0.05
    return {name: _median_us(_layer(name, *weights)) for name in names}


def fastest(timings: dict[Precision, float]) -> Precision:
    """The precision to take: float32 unless another one is clearly faster, or needs no timing."""
    best = min(timings, key=lambda name: timings[name])
    if not timings[best]:
        return "bfloat16" if "bfloat16" in timings else "float32"
    return best if timings["float32"] >= _WORTH * timings[best] else "float32"


def torch_dtype(precision: Precision) -> torch.dtype:
    """Of everything that is not quantised."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _layer(precision: Precision, up: Tensor, down: Tensor) -> Callable[[], Tensor]:
    rows = torch.randn(_ROWS, _WIDTH).to(torch_dtype(precision))
    make = QuantisedLinear if precision == "int8" else Linear
    first, second = (make(weight.to(rows.dtype), None) for weight in (up, down))
    return lambda: second(first(rows))


@torch.inference_mode()
def _median_us(run: Callable[[], Tensor]) -> float:
    run()
    seconds = []
    for _ in range(_RUNS):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return 1e6 * statistics.median(seconds)
