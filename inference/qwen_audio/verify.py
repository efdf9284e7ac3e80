"""`python -m inference.qwen_audio.verify DIR [--tolerance 1e-4] [--device cpu]`: this model against recorded outputs.

DIR holds a checkpoint in the original layout (`config.json` and weights) and what another implementation gave for it:

- `cases.json`: `cases`, by name: `ids` (token ids of the prompt; an audio's span is start tag, pads, end tag),
  `clips` (indexes of the clips that are heard, in the order of their spans), `greedy` (ids decoded after the prompt);
  `audio_start_id`; `spans` (positions in a prompt of each clip, its begin and end embeddings included).
- `expected.npz`, float32: for each clip `clip{i}.pcm` (n,) at 16 kHz, `clip{i}.mel` (80, 2 * frames) and
  `clip{i}.encoder` (span, hidden_size), the clip encoded alone; for each case `{case}.logits` (tokens, vocab_size) of
  the prompt, and `{case}.step_logits` (steps, vocab_size) after each greedy token. Optionally
  `clip{i}.encoder_in_batch`, what the other implementation spliced where a prompt has several clips: such prompts are
  then built from it. (The original's convolutions see a longer neighbour's padding past a clip's end; the encoder here
  gives in every batch what it gives alone.)

Prints one JSON object: the largest absolute error of every clip and case, and whether the greedy ids are the same. Each
case is computed twice, alone and in one batch with all others. The exit code is 1 when an error is above the tolerance
(or not a number), ids differ, or a case or an array is missing; 2 when the folder cannot be read at all.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.qwen_audio.checkpoint import CheckpointError, load_model
from inference.qwen_audio.config import ConfigError
from inference.qwen_audio.features import clip_mel
from inference.qwen_audio.model import QwenAudio

CASES_FILE, EXPECTED_FILE = "cases.json", "expected.npz"
Arrays = Mapping[str, NDArray[np.float32]]


class VerifyError(Exception):
    """The recorded outputs are missing or broken."""


@dataclass(slots=True)
class Report:
    tolerance: float
    errors: dict[str, float] = field(default_factory=dict)
    """By what was compared, e.g. `one_clip.logits` or `clip0.encoder.batch`."""
    greedy_equal: dict[str, bool] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        within = all(error <= self.tolerance for error in self.errors.values())
        return bool(self.errors) and within and all(self.greedy_equal.values()) and not self.missing

    def listed(self) -> dict[str, Any]:
        errors = {name: error if math.isfinite(error) else None for name, error in self.errors.items()}
        return {"passed": self.passed, "tolerance": self.tolerance, "largest_error": errors,
                "greedy_equal": self.greedy_equal, "missing": self.missing}  # fmt: skip


def verify(folder: Path, tolerance: float = 1e-4, device: torch.device | str = "cpu") -> Report:
    """Compares in float32. Raises ConfigError, CheckpointError or VerifyError."""
    listed, expected = _read(folder)
    model = load_model(folder, torch.float32, device)
    report = Report(tolerance)
    encoded = _compare_clips(report, model, listed, expected)
    prompts: dict[str, list[Tensor]] = {}
    for name, case in listed["cases"].items():
        if any(clip >= len(encoded) for clip in case["clips"]):
            report.missing.append(f"{name}: a clip")
        else:
            heard = _spliced_by_the_other(case["clips"], encoded, expected)
            prompts[name] = spliced(case["ids"], heard, listed["audio_start_id"])
    cases = listed["cases"]
    for name, prompt in prompts.items():
        _compare_cases(report, model, {name: prompt}, cases, expected, "")
    if prompts:
        _compare_cases(report, model, prompts, cases, expected, ".batch")
    recorded = {key.rsplit(".", 1)[0] for key in expected if key.endswith(".logits")}
    report.missing += [f"{name}: no case" for name in sorted(recorded - cases.keys())]
    report.missing += [] if cases else ["no case at all"]
    return report


def spliced(ids: Sequence[int], audios: Sequence[Tensor], audio_start_id: int) -> list[Tensor]:
    """A prompt's segments: each span of ids from a start tag on gives way to the embeddings of the next audio.

    Raises:
        VerifyError: there are other numbers of start tags and audios, or a span's end is not an end tag.
    """
    segments: list[Tensor] = []
    at = 0
    for audio in audios:
        try:
            start = list(ids).index(audio_start_id, at)
        except ValueError as error:
            raise VerifyError(f"{len(audios)} audios, but fewer start tags") from error
        until = start + audio.shape[0]
        if until > len(ids) or ids[until - 1] != audio_start_id + 1:
            raise VerifyError(f"the span at {start} does not end after {audio.shape[0]} positions")
        segments += [torch.tensor(ids[at:start], dtype=torch.long), audio]
        at = until
    if audio_start_id in ids[at:]:
        raise VerifyError("there are more start tags than audios")
    return [*segments, torch.tensor(ids[at:], dtype=torch.long)]


@torch.inference_mode()
def _compare_clips(report: Report, model: QwenAudio, listed: Mapping[str, Any], expected: Arrays) -> list[Tensor]:
    """Returns the clips' embeddings, each encoded alone."""
    mels: list[Tensor] = []
    for index in range(len(listed["spans"])):
        pcm = expected.get(f"clip{index}.pcm")
        if pcm is None:
            report.missing.append(f"clip{index}.pcm")
            break
        mels.append(clip_mel(torch.from_numpy(pcm), model.config.audio.n_mels))
        _compare(report, f"clip{index}.mel", mels[-1], expected)
    alone = [model.encode_audio([mel])[0] for mel in mels]
    for index, (one, batched) in enumerate(zip(alone, model.encode_audio(mels), strict=True)):
        _compare(report, f"clip{index}.encoder", one, expected)
        _compare(report, f"clip{index}.encoder", batched, expected, ".batch")
    return alone


def _spliced_by_the_other(clips: Sequence[int], encoded: Sequence[Tensor], expected: Arrays) -> list[Tensor]:
    recorded = [expected.get(f"clip{clip}.encoder_in_batch") for clip in clips]
    if len(clips) < 2 or any(
        array is None or array.shape != encoded[clip].shape for array, clip in zip(recorded, clips, strict=True)
    ):
        return [encoded[clip] for clip in clips]
    return [torch.from_numpy(array) for array in recorded]


def _compare_cases(
    report: Report,
    model: QwenAudio,
    prompts: Mapping[str, list[Tensor]],
    cases: Mapping[str, Any],
    expected: Arrays,
    suffix: str,
) -> None:
    """Prompts and then their recorded greedy tokens, step by step, in one batch."""
    caches = {name: model.new_cache() for name in prompts}
    logits = dict(zip(prompts, model.prefill(list(caches.values()), list(prompts.values()), True), strict=True))
    chosen: dict[str, list[int]] = {}
    steps: dict[str, list[Tensor]] = {name: [] for name in prompts}
    for name in prompts:
        _compare(report, f"{name}.logits", logits[name], expected, suffix)
        chosen[name] = [int(logits[name][-1].argmax())]
    for step in range(max(len(cases[name]["greedy"]) for name in prompts)):
        going = [name for name in prompts if step < len(cases[name]["greedy"])]
        fed = [[torch.tensor([cases[name]["greedy"][step]])] for name in going]
        for name, answer in zip(going, model.prefill([caches[name] for name in going], fed), strict=True):
            steps[name].append(answer)
            chosen[name].append(int(answer.argmax()))
    for name in prompts:
        wanted = cases[name]["greedy"]
        report.greedy_equal[name + suffix] = bool(wanted) and chosen[name][: len(wanted)] == wanted
        if steps[name]:
            _compare(report, f"{name}.step_logits", torch.stack(steps[name]), expected, suffix)


def _compare(report: Report, key: str, found: Tensor, expected: Arrays, suffix: str = "") -> None:
    wanted = expected.get(key)
    if wanted is None or wanted.shape != tuple(found.shape):
        shape = "none" if wanted is None else str(wanted.shape)
        report.missing.append(f"{key}: {shape} recorded, {tuple(found.shape)} computed")
        return
    error = float(np.abs(found.float().cpu().numpy() - wanted).max(initial=0.0))
    report.errors[key + suffix] = error


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    try:
        listed = json.loads((folder / CASES_FILE).read_text(encoding="utf-8"))
        with np.load(folder / EXPECTED_FILE) as arrays:
            expected = {name: arrays[name] for name in arrays.files}
        if not all(key in listed for key in ("cases", "spans", "audio_start_id")):
            raise VerifyError(f"{CASES_FILE} lacks cases, spans or audio_start_id")
        for name, case in listed["cases"].items():
            if not all(key in case for key in ("ids", "clips", "greedy")):
                raise VerifyError(f"the case {name} lacks ids, clips or greedy")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise VerifyError(f"{folder} does not hold recorded outputs: {error}") from error
    return listed, expected


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="inference.qwen_audio.verify", description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    try:
        report = verify(options.folder, options.tolerance, options.device)
    except (ConfigError, CheckpointError, VerifyError) as error:
        print(f"verify: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report.listed(), indent=1))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
