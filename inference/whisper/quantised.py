"""Linear layers in int8, for processors that multiply bytes much faster than floats (VNNI, AMX).

Weights are quantised once, symmetrically for each output channel; inputs as they come, symmetrically for each row by
its own largest value, as in LLM.int8() (Dettmers et al., 2022, arXiv 2208.07339, vector-wise quantisation). So a row's
result does not depend on the rows that share its batch.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

_LEVELS = 254
"""Of a row's inputs. Sums of products of 8 bits are exact only where they are made in 32 bits (`has_int8_units`);
processors without such units saturate."""
GELU_BELOW = 0.1
"""How far below zero GELU's outputs reach, as a share of how far above: -0.17 at most, and usual rows reach 2 and more.
"""
_UNITS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


def has_int8_units(flags: frozenset[str]) -> bool:
    """Whether a processor with these feature flags, named as Linux does, sums products of bytes in 32 bits."""
    return bool(flags & _UNITS) and torch.backends.quantized.engine in ("x86", "fbgemm", "onednn")


class QuantisedLinear:
    """float32 (rows, in) → float32 (rows, out), about one percent off the exact product."""

    def __init__(self, weight: Tensor, bias: Tensor | None, below: float = 1.0) -> None:
        """
        Args:
            weight: float32 (out, in) on the CPU.
            below: the range of inputs below zero as a share of the range above; a row that reaches lower gets a wider
                range.

        Raises:
            RuntimeError: torch has no such products here.
        """
        self._bias = bias
        self._below = below
        self._step = (1 + below) / _LEVELS
        self._zero = round(below / self._step)
        self._packed = pack_int8(weight)

    def __call__(self, x: Tensor) -> Tensor:
        if self._below == 1.0:
            size = x.abs().amax(dim=1, keepdim=True).clamp_(min=1e-8)
        else:
            size = torch.maximum(x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True) / -self._below)
            size.clamp_(min=1e-8)
        unit = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x / size, self._step, self._zero, self._packed
        )
        return unit.mul_(size) if self._bias is None else torch.addcmul(self._bias, unit, size)


def pack_int8(weight: Tensor) -> torch.ScriptObject:
    """A weight (out, in), quantised for each output and in the layout of the products."""
    steps = weight.abs().amax(dim=1).clamp(min=1e-8) / 127
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # these types will go from torch, which is pinned
        quantised = torch.quantize_per_channel(weight, steps, torch.zeros(len(steps), dtype=torch.long), 0, torch.qint8)
    packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(quantised, None)
    return packed
