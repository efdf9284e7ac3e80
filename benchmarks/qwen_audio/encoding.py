"""Encoder work per second of audio, of a clip that is asked about while it is spoken."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from benchmarks.gpu.ceilings import synchronise
from benchmarks.qwen_audio.geometry import SECOND, noise
from inference.qwen_audio.features import WINDOW_SAMPLES, clip_mel
from inference.qwen_audio.incremental import IncrementalAudioEncoder, IncrementalSettings
from inference.qwen_audio.model import QwenAudio
from inference.whisper.features import MEL_PER_FRAME

POLICIES = {
    "blocks": IncrementalSettings("blocks"),
    "blocks, 10 s of left context": IncrementalSettings("blocks", left_frames=500),
    "exact": IncrementalSettings("exact"),
}
FULL_WINDOW = "30 s window"
"""All that is there, padded to 30 s and encoded anew: what an encoder of fixed windows does."""


def measure_encoding(model: QwenAudio, clip_s: float, every_s: float, repeats: int) -> list[dict[str, Any]]:
    """Frames computed and seconds taken per second of audio, when it is encoded each `every_s` and at the end."""
    rows = []
    for name in (*POLICIES, FULL_WINDOW):
        taken: list[float] = []
        frames = 0
        for _ in range(repeats):
            synchronise(model.device)
            began = time.perf_counter()
            frames = (
                _full_windows(model, clip_s, every_s) if name == FULL_WINDOW else _live(model, name, clip_s, every_s)
            )
            synchronise(model.device)
            taken.append(time.perf_counter() - began)
        rows.append({
            "policy": name,
            "frames_per_audio_s": round(frames / clip_s, 1),
            "encoded_times": round(frames / clip_s / 50, 2),
            "ms_per_audio_s": round(1e3 * statistics.median(taken) / clip_s, 2),
            "ms_range": [round(1e3 * each / clip_s, 2) for each in (min(taken), max(taken))],
        })  # fmt: skip
    return rows


def _live(model: QwenAudio, policy: str, clip_s: float, every_s: float) -> int:
    encoder = IncrementalAudioEncoder(model.audio, POLICIES[policy])
    stream = encoder.new_stream()
    for chunk in noise(round(clip_s * SECOND)).split(round(every_s * SECOND)):
        stream.append(chunk)
        encoder.advance([stream])
    encoder.advance([stream], end=True)
    return encoder.frames_computed


@torch.inference_mode()
def _full_windows(model: QwenAudio, clip_s: float, every_s: float) -> int:
    pcm, frames = noise(round(clip_s * SECOND)), 0
    window = torch.zeros(WINDOW_SAMPLES)
    chunk = round(every_s * SECOND)
    for head in range(chunk, pcm.shape[0] + 1, chunk):
        window[:head] = pcm[:head]
        mel = clip_mel(window, model.config.audio.n_mels)
        model.encode_audio([mel])
        frames += mel.shape[1] // MEL_PER_FRAME
    return frames
