"""The four measurements: talk-off, keys in noise, latency, cost."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from benchmarks.tones.corpus import Recording, babble, load
from benchmarks.tones.synthesis import KINDS, PER_MS, Press, as_int16, cadence, presses
from inference.tagging.tones import ToneDetector, ToneEvent
from streaming.audio.clock import SAMPLE_RATE

GROUPS: Final = ("keys", "named", "unnamed")
SNRS_DB: Final = (20, 15, 10, 5)
VOICES: Final = {"babble of 6": 6, "one voice": 1}
OFFSETS: Final = 20
"""Places on the clock that each tone begins at, for latencies."""
MESSAGE_MS: Final = 20
COST_S: Final = 60


def heard(samples: NDArray[np.int16]) -> list[ToneEvent]:
    detector = ToneDetector()
    return detector.feed(samples) + detector.flush()


def group_of(label: str) -> str:
    """Of GROUPS."""
    if label.startswith("dtmf_"):
        return "keys"
    return "unnamed" if label == "tone" else "named"


def talk_off(found: list[Recording], speed: float, progress: Progress) -> dict[str, Any]:
    """What is heard in recordings without tones: by kind, hours, detections by label, and where they are."""
    kinds: dict[str, Any] = {}
    for recording in progress.track(found, description=f"talk-off at {speed:g}"):
        kind = kinds.setdefault(recording.kind, {"hours": 0.0, "labels": Counter(), "where": []})
        samples = load(recording, speed)
        kind["hours"] += len(samples) / SAMPLE_RATE / 3600
        for event in heard(samples):
            if event.phase == "end":
                kind["labels"][event.label] += 1
                kind["where"].append([recording.path, event.label, round(event.start_sample / SAMPLE_RATE, 2)])
    for kind in kinds.values():
        false = Counter[str]()
        for label, count in kind["labels"].items():
            false[group_of(label)] += count
        kind["per_hour"] = {name: round(false[name] / kind["hours"], 2) for name in GROUPS}
        kind["hours"], kind["labels"] = round(kind["hours"], 3), dict(kind["labels"])
    return kinds


def keys_in_noise(
    speech: list[Recording], count: int, generator: np.random.Generator, progress: Progress
) -> list[dict[str, Any]]:
    """Missed and false keys by noise and SNR: power of the presses while they last, over that of the noise."""
    signal, pressed = presses(count, generator)
    sounding = np.zeros(len(signal), np.bool_)
    for press in pressed:
        sounding[press.start_sample : press.end_sample] = True
    power = float(np.mean(signal[sounding] ** 2))
    noises = {"white": generator.standard_normal(len(signal))}
    for name, voices in VOICES.items():
        if speech:
            noises[name] = babble(speech, len(signal), voices, generator)
    results = [{"noise": "none", "snr_db": None, **account(heard(as_int16(signal)), pressed)}]
    for name, noise in progress.track(noises.items(), description="keys in noise"):
        for snr_db in SNRS_DB:
            mixed = as_int16(signal + noise * np.sqrt(power / 10 ** (snr_db / 10)))
            results.append({"noise": name, "snr_db": snr_db, **account(heard(mixed), pressed)})
    return results


def account(events: list[ToneEvent], pressed: list[Press]) -> dict[str, int]:
    """A press is heard once, by an event of its key that begins within it (or 10 ms before); the rest is false."""
    starts = [event for event in events if event.phase == "start" and event.label.startswith("dtmf_")]
    missed, at = 0, 0
    right = 0
    for press in pressed:
        while at < len(starts) and starts[at].start_sample < press.start_sample - 10 * PER_MS:
            at += 1
        found = False
        for event in starts[at:]:
            if event.start_sample >= press.end_sample:
                break
            found = found or event.label == press.label
        missed += not found
        right += found
    return {"pressed": len(pressed), "missed": missed, "false": len(starts) - right}


def latencies(generator: np.random.Generator) -> dict[str, Any]:
    """ms from a tone's first sample to `start`, and to the event that names it, by kind."""
    results: dict[str, Any] = {}
    signal, pressed = presses(500, generator)
    starts = {event.start_sample: event.at_sample for event in heard(as_int16(signal)) if event.phase == "start"}
    known = np.array(sorted(starts))
    waits = [
        (starts[int(near)] - press.start_sample) / PER_MS
        for press in pressed
        for near in known[np.abs(known - press.start_sample) <= 10 * PER_MS][:1]
    ]
    results["keys"] = {"start": _percentiles(waits), "named": _percentiles(waits)}
    for kind, (hertz, beats_ms) in KINDS.items():
        label = kind.split()[0]
        begun, named = [], []
        for offset in range(OFFSETS):
            lead = 8_000 + offset * 16 + offset
            sound = cadence(hertz, beats_ms, 8)
            events = heard(as_int16(np.concatenate([np.zeros(lead), sound])))
            begun += [(event.at_sample - lead) / PER_MS for event in events[:1]]
            named += [(event.at_sample - lead) / PER_MS for event in events if event.label == label][:1]
        results[kind] = {"start": _percentiles(begun), "named": _percentiles(named)}
    return results


def cost(speech: list[Recording]) -> dict[str, float]:
    """CPU ms for each second of audio."""
    silence = np.zeros(COST_S * SAMPLE_RATE, np.int16)
    sounds = {"silence": silence, "keys": as_int16(presses(500, np.random.default_rng(0))[0])}
    if speech:
        parts = []
        for recording in speech:
            parts.append(load(recording))
            if sum(map(len, parts)) >= len(silence):
                break
        sounds["speech"] = np.concatenate(parts)[: len(silence)]
    results = {}
    for name, samples in sounds.items():
        for chunk_ms in (MESSAGE_MS, 1000):
            detector = ToneDetector()
            size = chunk_ms * PER_MS
            began = time.process_time()
            for first in range(0, len(samples), size):
                detector.feed(samples[first : first + size])
            seconds = len(samples) / SAMPLE_RATE
            results[f"{name}, {chunk_ms} ms chunks"] = round(1000 * (time.process_time() - began) / seconds, 2)
    return results


def _percentiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return {"count": len(values), "p50": round(p50, 1), "p95": round(p95, 1), "max": round(max(values), 1)}
