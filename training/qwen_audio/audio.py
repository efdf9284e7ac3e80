"""What the model hears of a row: samples, log-mel, or the states that a frozen encoder made of it once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.qwen_audio.audio_encoder import AudioEncoder
from inference.qwen_audio.features import FRAMES_PER_TOKEN, TOKEN_SAMPLES, WINDOW_SAMPLES, clip_lengths, clip_mel
from inference.whisper.features import SAMPLE_RATE
from training.qwen_audio.config import Augment
from training.qwen_audio.manifest import ManifestError

_LARGEST_TIME_SHARE = 0.2
_BATCH = 16  # clips that are encoded together


def read_clip(file: str, speed: float = 1.0) -> Tensor:
    """A clip, channels mixed by their mean, at 16 kHz: float32 (n,) in [-1, 1], at most 30 s.

    Args:
        speed: above 1 it is shorter and higher.

    Raises:
        ManifestError: it cannot be read, or is longer than the model's window.
    """
    try:
        audio, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise ManifestError(f"cannot read {file}: {error}") from error
    mono: NDArray[np.float32] = audio.mean(axis=1)
    if rate * speed != SAMPLE_RATE:
        mono = soxr.resample(mono, rate * speed, SAMPLE_RATE)
    if len(mono) > WINDOW_SAMPLES:
        raise ManifestError(f"{file} is longer than 30 s")
    return torch.from_numpy(np.ascontiguousarray(mono, dtype=np.float32))


def span_of(seconds: float, slowest: float = 1.0) -> int:
    """The most positions that a clip takes at the slowest of its speeds."""
    return clip_lengths(min(WINDOW_SAMPLES, int(seconds / slowest * SAMPLE_RATE) + TOKEN_SAMPLES)).span


def encoder_states(encoder: AudioEncoder, mels: Sequence[Tensor]) -> list[Tensor]:
    """The encoder up to its projection: per clip (tokens, n_state). Differentiable."""
    stems = [encoder.stem(mel) for mel in mels]
    rows = [stem.shape[0] for stem in stems]

    def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        parts = (part.transpose(0, 1)[None].split(rows, dim=2) for part in (queries, keys, values))
        mixed = [F.scaled_dot_product_attention(*clip) for clip in zip(*parts, strict=True)]
        return torch.cat(mixed, dim=2)[0].transpose(0, 1).reshape(sum(rows), -1)

    x = torch.cat(stems)
    for block in encoder.blocks:
        x = block(x, attention)
    even = (clip[: clip.shape[0] // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN] for clip in x.split(rows))
    pooled = (clip.view(-1, FRAMES_PER_TOKEN, clip.shape[1]).mean(dim=1) for clip in even)
    return [encoder.ln_post(clip) for clip in pooled]


def project(encoder: AudioEncoder, states: Sequence[Tensor]) -> list[Tensor]:
    """Of `encoder_states` what the decoder reads: per clip (tokens + 2, output_dim). Differentiable."""
    begin, end = encoder.audio_bos_eos_token.weight[:1], encoder.audio_bos_eos_token.weight[1:]
    projected = encoder.proj(torch.cat(list(states))).split([clip.shape[0] for clip in states])
    return [torch.cat([begin, clip.to(begin.dtype), end]) for clip in projected]


def masked(features: Tensor, augment: Augment, rows_per_s: float, generator: np.random.Generator) -> Tensor:
    """SpecAugment's masks, filled with the clip's mean.

    Args:
        features: (bins, n) log-mel, or (n_state, n) states; masks of bins are for log-mel only.
        rows_per_s: of n.
    """
    if not (augment.time_masks or augment.frequency_masks):
        return features
    covered = features.clone()
    mean = features.mean()
    bins, length = features.shape
    longest = int(min(augment.time_mask_s * rows_per_s, _LARGEST_TIME_SHARE * length))
    for _ in range(augment.time_masks):
        width = int(generator.integers(longest + 1))
        start = int(generator.integers(length - width + 1))
        covered[:, start : start + width] = mean
    for _ in range(augment.frequency_masks):
        width = int(generator.integers(min(augment.frequency_mask_bins, bins) + 1))
        start = int(generator.integers(bins - width + 1))
        covered[start : start + width] = mean
    return covered


class EncoderCache:
    """The states of a frozen encoder, float16, one file per encoder: made once for all runs that share it."""

    def __init__(self, encoder: AudioEncoder, folder: Path) -> None:
        """
        Args:
            folder: for the file, which is named after the encoder's weights.
        """
        self._encoder = encoder
        self._file = folder / f"encoder-{_fingerprint(encoder)}.safetensors"
        self._states: dict[str, Tensor] = load_file(self._file) if self._file.is_file() else {}

    def get(self, file: str, speed: float) -> Tensor:
        """(tokens, n_state) float32 of a clip that was prepared."""
        return self._states[_key(file, speed)].float()

    @torch.inference_mode()
    def prepare(self, clips: Sequence[tuple[str, float]], done: Callable[[int], None] = lambda count: None) -> None:
        """Encodes what is missing, shortest first, and writes the file.

        Args:
            clips: (file, speed).
            done: hears of each number of clips that are ready.

        Raises:
            ManifestError: a clip cannot be read.
        """
        missing = sorted({clip for clip in clips if _key(*clip) not in self._states})
        done(len(set(clips)) - len(missing))
        for at in range(0, len(missing), _BATCH):
            batch = missing[at : at + _BATCH]
            mels = [clip_mel(read_clip(*clip), self._encoder.config.n_mels) for clip in batch]
            for clip, states in zip(batch, encoder_states(self._encoder, mels), strict=True):
                self._states[_key(*clip)] = states.to("cpu", torch.float16)
            done(len(batch))
        if missing:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_suffix(".part")
            save_file({key: states.contiguous() for key, states in self._states.items()}, part)
            part.replace(self._file)


def _key(file: str, speed: float) -> str:
    return f"{file}@{speed:g}"


def _fingerprint(encoder: AudioEncoder) -> str:
    """Of the weights below the projection."""
    found = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        if not name.startswith(("proj.", "audio_bos_eos_token.")):
            found.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
    return found.hexdigest()[:16]
