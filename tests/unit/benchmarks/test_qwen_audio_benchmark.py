"""The benchmark of Qwen-Audio in small, on a CPU: it runs the model's own code, and what it counts is right."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.qwen_audio.__main__ import main
from benchmarks.qwen_audio.capacity import measure_decoding, measure_memory, measure_sessions
from benchmarks.qwen_audio.encoding import FULL_WINDOW, measure_encoding
from benchmarks.qwen_audio.geometry import GEOMETRIES, parameters, random_model
from benchmarks.qwen_audio.tasks import TasksOnOneClip
from inference.qwen_audio.model import QwenAudio

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> QwenAudio:
    return random_model(GEOMETRIES["tiny"], CPU, torch.float32)


def test_the_published_size_has_the_published_parameters() -> None:
    with torch.device("meta"):
        published = QwenAudio(GEOMETRIES["7b"])
    assert parameters(published.audio) == pytest.approx(640.12e6, rel=0.005)
    assert parameters(published) - parameters(published.audio) == pytest.approx(7.754e9, rel=0.001)


def test_a_second_of_audio_takes_the_memory_that_follows_from_the_published_size() -> None:
    with torch.device("meta"):
        memory = measure_memory(QwenAudio(GEOMETRIES["7b"]).to(torch.bfloat16))
    assert memory["kv_bytes_per_token"] == 512 * 1024
    assert memory["kv_mb_per_audio_s"] == pytest.approx(25 * 0.524288, rel=1e-3)


def test_every_way_of_asking_gives_the_same_answers(model: QwenAudio) -> None:
    case = TasksOnOneClip(model, clip_s=1.0, tasks=3, answer_tokens=4)
    answers = case.separate()
    assert [len(answer) for answer in answers] == [4, 4, 4]
    assert case.batched() == answers
    assert case.shared() == answers


def test_frames_are_those_of_each_policy(model: QwenAudio) -> None:
    rows = {row["policy"]: row for row in measure_encoding(model, clip_s=4.0, every_s=1.0, repeats=1)}
    assert rows[FULL_WINDOW]["frames_per_audio_s"] == 1500
    assert rows["exact"]["frames_per_audio_s"] == (50 + 100 + 150 + 200 + 200) / 4
    blocks = 3 * 75  # each with its right context of 25
    rests = 50 + 50 + 50 + 50 + 50  # 1 s that is not settled yet, and at the end once more
    assert rows["blocks"]["frames_per_audio_s"] == pytest.approx((blocks + rests) / 4, abs=0.1)


def test_capacity_is_measured_and_stops_at_the_lag(model: QwenAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"bytes_per_s": 1e8, "flops_per_s": 1e9}
    set_clock(monkeypatch, 0.01)
    (row,) = measure_decoding(model, [2], prefix_s=1.0, steps=2, limits=limits)
    assert row["tokens_per_s"] == 200
    assert row["share_of_bandwidth"] > 0
    assert [row["sessions"] for row in measure_sessions(model, [1, 2], answer_tokens=2, rounds=1)] == [1, 2]
    set_clock(monkeypatch, 1.5)
    late = measure_sessions(model, [1, 2], answer_tokens=2, rounds=1)
    assert [(row["sessions"], row["within_lag"]) for row in late] == [(1, False)]


def set_clock(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    """Whatever is measured takes this long."""
    ticks = count(step=step_s)
    monkeypatch.setattr("benchmarks.qwen_audio.capacity.time", SimpleNamespace(perf_counter=lambda: next(ticks)))


def test_the_command_writes_all_parts_with_their_circumstances(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    small = (
        "--geometry tiny --clip-s 1 --tasks 1 2 --answers 2 --repeats 1 --batches 1 --steps 1 --sessions 1 --rounds 1"
    )
    assert main([*small.split(), "--parts", "tasks", "encoding", "capacity", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert {
        "date",
        "machine",
        "versions",
        "commit",
        "tasks",
        "encoding",
        "decoding",
        "sessions",
        "memory",
    } <= result.keys()
    assert all(row["same_answers"] for row in result["tasks"])
