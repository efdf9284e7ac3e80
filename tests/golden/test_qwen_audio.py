"""The native model gives what the original code gave for the same weights, clips and prompts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inference.qwen_audio.verify import verify

pytestmark = pytest.mark.skipif("TYMPAN_DATA" not in os.environ, reason="TYMPAN_DATA names no folder of recordings")


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(os.environ["TYMPAN_DATA"]) / "golden" / "qwen_audio_tiny"


def test_clips_prompts_and_decoded_tokens_are_those_of_the_original(folder: Path) -> None:
    report = verify(folder, tolerance=1e-4)
    assert report.passed, report.listed()
    cases = {"text_only", "one_clip", "chat_two_clips", "beyond_seq_length"}
    assert report.greedy_equal.keys() == cases | {f"{case}.batch" for case in cases}
    assert {f"clip{clip}.encoder{batch}" for clip in (0, 1) for batch in ("", ".batch")} <= report.errors.keys()
    assert {f"{case}.{kind}" for case in cases for kind in ("logits", "step_logits")} <= report.errors.keys()
