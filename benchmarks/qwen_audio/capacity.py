"""How much a device does: tokens a second by batch, memory per second of audio, live sessions within a lag."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from benchmarks.gpu.ceilings import bytes_per_s, flops_per_s, synchronise
from benchmarks.qwen_audio.geometry import SECOND, noise, parameters
from benchmarks.qwen_audio.tasks import SUFFIX_TOKENS
from inference.qwen_audio.cache import CacheLedger, KvCache
from inference.qwen_audio.features import TOKEN_SAMPLES, WINDOW_SAMPLES
from inference.qwen_audio.generate import Decoding, GenerationBatch
from inference.qwen_audio.live import Listener, LiveClip
from inference.qwen_audio.model import QwenAudio

ROUND_S = 1.0
"""Audio that each live session brings before it is asked, and the lag it may have."""


def ceilings(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    return {"bytes_per_s": bytes_per_s(device), "flops_per_s": flops_per_s(device, dtype)}


def measure_memory(model: QwenAudio) -> dict[str, Any]:
    """Bytes of the weights, and of keys and values for a second of audio."""
    token = _token_bytes(model)
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    return {
        "weights_gb": round(weights / 1e9, 3),
        "kv_bytes_per_token": token,
        "kv_mb_per_audio_s": round(token * SECOND / TOKEN_SAMPLES / 1e6, 3),
    }


def measure_decoding(
    model: QwenAudio, batches: list[int], prefix_s: float, steps: int, limits: dict[str, float]
) -> list[dict[str, Any]]:
    """Tokens a second of sequences with an audio prefix of their own each, and what share of the ceilings that is."""
    rows = []
    for size in batches:
        caches = [_read_audio(model, prefix_s, seed) for seed in range(size)]
        ids = list(range(size))
        taken = []
        for step in range(steps + 2):
            synchronise(model.device)
            began = time.perf_counter()
            ids = model.advance(caches, ids).argmax(dim=-1).tolist()
            if step >= 2:  # two to warm up
                taken.append(time.perf_counter() - began)
        second = statistics.median(taken)
        language = parameters(model) - parameters(model.audio) - model.transformer.wte.weight.numel()
        read = language * model.dtype.itemsize + _token_bytes(model) * sum(cache.length for cache in caches)
        rows.append({
            "batch": size,
            "step_ms": round(1e3 * second, 3),
            "tokens_per_s": round(size / second, 1),
            "share_of_bandwidth": round(read / second / limits["bytes_per_s"], 3),
            "share_of_flops": round(2 * language * size / second / limits["flops_per_s"], 4),
        })  # fmt: skip
        for cache in caches:
            cache.release()
    return rows


def measure_sessions(model: QwenAudio, counts: list[int], answer_tokens: int, rounds: int) -> list[dict[str, Any]]:
    """Seconds in which all live sessions take in `ROUND_S` of audio and each answers a task with so many tokens.

    A round that takes less than the audio it is about is within the lag. Stops at the first count that is not.
    """
    rows = []
    for count in counts:
        ledger = CacheLedger()
        listener = Listener(model, ledger=ledger)
        clips = [listener.open() for _ in range(count)]
        taken = []
        for index in range(rounds + 1):
            for seed, clip in enumerate(clips):
                clip.stream.append(noise(round(ROUND_S * SECOND), 1000 * index + seed))
            synchronise(model.device)
            began = time.perf_counter()
            _answer_all(model, listener, clips, answer_tokens)
            synchronise(model.device)
            taken.append(time.perf_counter() - began)
        slowest = max(taken[1:])
        rows.append({
            "sessions": count,
            "round_s": {"median": round(statistics.median(taken[1:]), 4), "slowest": round(slowest, 4)},
            "within_lag": slowest <= ROUND_S,
            "audio_s_each": (rounds + 1) * ROUND_S,
            "cache_gb": round(ledger.bytes / 1e9, 3),
        })  # fmt: skip
        for clip in clips:
            clip.release()
        if slowest > ROUND_S:
            break
    return rows


def longest_rounds() -> int:
    """Rounds after the first one that a window has room for."""
    return int(WINDOW_SAMPLES / SECOND / ROUND_S) - 1


def _answer_all(model: QwenAudio, listener: Listener, clips: list[LiveClip], answer_tokens: int) -> None:
    listener.advance(clips)
    batch = GenerationBatch(model, prefill_positions=1 << 16)
    suffix = torch.arange(SUFFIX_TOKENS)
    decoding = Decoding(frozenset(), max_new=answer_tokens)
    for cache in listener.heard(clips):
        batch.join(cache, [suffix], decoding)
    batch.step(answer_tokens)


def _read_audio(model: QwenAudio, audio_s: float, seed: int) -> KvCache:
    tokens = round(audio_s * SECOND) // TOKEN_SAMPLES
    random = torch.Generator().manual_seed(seed)
    cache = model.new_cache()
    model.prefill([cache], [[torch.randn(tokens, model.config.hidden_size, generator=random)]])
    return cache


def _token_bytes(model: QwenAudio) -> int:
    return 2 * model.config.num_hidden_layers * model.config.attention_width * model.dtype.itemsize
