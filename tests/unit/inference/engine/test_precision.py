"""Which precision is chosen: the fastest of those that the processor has units for, and float32 in doubt."""

from __future__ import annotations

import pytest
import torch

from inference.engine import precision
from inference.engine.device import DeviceError
from inference.engine.precision import Precision, available, choose_precision, fastest, time_precisions, torch_dtype

CPU = torch.device("cpu")


def with_flags(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ((), ("float32",)),
        (("avx2",), ("float32",)),
        (("avx512_vnni",), ("float32", "int8")),
        (("avx_vnni",), ("float32", "int8")),
        (("avx512_bf16",), ("float32", "bfloat16")),
        (("amx_bf16", "amx_int8"), ("float32", "bfloat16", "int8")),
    ],
)
def test_a_precision_is_available_where_the_processor_has_units_for_it(
    flags: tuple[str, ...], names: tuple[Precision, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_flags(monkeypatch, *flags)
    assert available(CPU) == names


@pytest.mark.parametrize(
    ("timings", "chosen"),
    [
        ({"float32": 0.0}, "float32"),
        ({"float32": 0.0, "bfloat16": 0.0}, "bfloat16"),
        ({"float32": 1000.0, "int8": 400.0}, "int8"),
        ({"float32": 1000.0, "int8": 900.0}, "float32"),
        ({"float32": 1000.0, "int8": 1200.0}, "float32"),
        ({"float32": 1000.0, "bfloat16": 200.0, "int8": 400.0}, "bfloat16"),
    ],
)
def test_float32_is_left_for_what_is_clearly_faster(timings: dict[Precision, float], chosen: Precision) -> None:
    assert fastest(timings) == chosen


def test_what_is_available_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    with_flags(monkeypatch, "avx512_bf16")
    timings = time_precisions(CPU)
    assert set(timings) == {"float32", "bfloat16"}
    assert all(us > 0 for us in timings.values())


def test_a_lone_precision_needs_no_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    with_flags(monkeypatch)
    assert time_precisions(CPU) == {"float32": 0.0}
    assert choose_precision("auto", CPU) == "float32"


def test_a_precision_can_be_prescribed(monkeypatch: pytest.MonkeyPatch) -> None:
    with_flags(monkeypatch, "avx512_vnni")
    assert choose_precision("int8", CPU) == "int8"
    assert choose_precision("bfloat16", CPU) == "bfloat16", "slow here, but right"
    assert torch_dtype("bfloat16") == torch.bfloat16
    assert torch_dtype("int8") == torch_dtype("float32") == torch.float32


@pytest.mark.parametrize(("wanted", "says"), [("fp4", "say auto, float32, bfloat16, int8"), ("int8", "no units")])
def test_one_that_cannot_be_had_is_one_sentence_with_the_remedy(
    wanted: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_flags(monkeypatch, "avx2")
    with pytest.raises(DeviceError, match=says):
        choose_precision(wanted, CPU)
