"""Which device and threads are chosen, and what is said where there is no such device."""

from __future__ import annotations

import os

import pytest
import torch

from inference.engine.device import DeviceError, choose_device, choose_threads

CPU = torch.device("cpu")


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def two_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("no_cuda")
def test_auto_is_the_cpu_without_cuda() -> None:
    assert choose_device("auto") == CPU


@pytest.mark.usefixtures("two_cuda")
def test_auto_is_cuda_where_there_is_one_and_any_can_be_named() -> None:
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cpu") == CPU


@pytest.mark.usefixtures("no_cuda")
@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("tpu", "say auto, cpu, cuda or cuda:N"),
        ("", "say auto, cpu, cuda or cuda:N"),
        ("cuda:x", "say auto, cpu, cuda or cuda:N"),
        ("mps", "runs on cpu and cuda, not on 'mps'"),
        ("cuda", "use --device cpu, or install a CUDA build"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence_with_the_remedy(wanted: str, says: str) -> None:
    with pytest.raises(DeviceError) as raised:
        choose_device(wanted)
    assert says in str(raised.value)
    assert str(raised.value).endswith(".")


@pytest.mark.usefixtures("two_cuda")
def test_a_third_cuda_device_of_two_is_not_there() -> None:
    with pytest.raises(DeviceError, match="no cuda:2: torch sees 2"):
        choose_device("cuda:2")


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 7)])
def test_a_core_is_left_to_the_gateway(cores: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert choose_threads(None) == threads
    assert choose_threads(3) == 3
