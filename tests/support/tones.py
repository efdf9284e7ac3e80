"""Telephone tones by their definitions, the lines they come over, and what the detectors say of them.

Frequencies and cadences are typed here from the recommendations, not taken from the detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from inference.tagging.tones import ToneDetector, ToneEvent
from streaming.audio.formats import decode
from streaming.audio.resampler import StreamingResampler

Signal = NDArray[np.float64]
"""(n,), full scale is 1."""
RATE = 16_000
ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"
LABELS = {key: "dtmf_" + {"*": "star", "#": "pound"}.get(key, key.lower()) for key in KEYS}


def silence(ms: float, rate: int = RATE) -> Signal:
    return np.zeros(round(ms * rate / 1000))


def tone(hertz: Sequence[float], ms: float, level_db: float = -15.0, rate: int = RATE, phase: float = 0.0) -> Signal:
    """Sines of this level each: a sine of full scale is 0 dB."""
    times = np.arange(round(ms * rate / 1000)) / rate
    sines = [np.sin(2 * np.pi * value * times + phase) for value in hertz]
    return np.asarray(10 ** (level_db / 20) * np.sum(sines, axis=0))


def key(
    name: str,
    ms: float = 60.0,
    level_db: float = -15.0,
    *,
    twist_db: float = 0.0,
    low_off: float = 0.0,
    high_off: float = 0.0,
    rate: int = RATE,
) -> Signal:
    """One press. `twist_db`: how much the high tone is above the low one; `low_off`, `high_off`: shares of the
    frequencies; the stronger tone has the level."""
    row, column = divmod(KEYS.index(name), 4)
    low = tone([ROWS[row] * (1 + low_off)], ms, level_db - max(twist_db, 0), rate, 0.3)
    high = tone([COLUMNS[column] * (1 + high_off)], ms, level_db + min(twist_db, 0), rate, 1.1)
    return low + high


def keys(names: str, on_ms: float = 60.0, off_ms: float = 60.0, rate: int = RATE) -> Signal:
    """Presses with a pause before each and behind the last."""
    parts = [part for name in names for part in (silence(off_ms, rate), key(name, on_ms, rate=rate))]
    return np.concatenate([*parts, silence(off_ms, rate)])


def cadence(hertz: Sequence[float], beats_ms: Sequence[float], seconds: float, rate: int = RATE) -> Signal:
    """On and off in turn, again and again, for this long at least and up to the end of a silence."""
    parts: list[Signal] = []
    while sum(map(len, parts)) < seconds * rate:
        for on, off in zip(beats_ms[::2], beats_ms[1::2], strict=True):
            parts += [tone(hertz, on, rate=rate), silence(off, rate)]
    return np.concatenate(parts)


def noisy(signal: Signal, snr_db: float, seed: int = 0) -> Signal:
    """White noise over all of it, so far below the signal's power where there is a signal."""
    power = float(np.mean(signal[np.abs(signal) > 0] ** 2))
    return signal + np.random.default_rng(seed).normal(0, np.sqrt(power / 10 ** (snr_db / 10)), len(signal))


def pcm(signal: Signal) -> NDArray[np.int16]:
    return np.clip(np.rint(signal * 32_767), -32_768, 32_767).astype(np.int16)


def over_telephone(signal: Signal) -> NDArray[np.int16]:
    """A signal at 8 kHz as it arrives: µ-law, then the project's decoder and resampler. int16 (2 * n,) at 16 kHz."""
    values, codes = _mulaw_steps()
    between = (values[1:] + values[:-1]) / 2
    line = codes[np.searchsorted(between, signal)].tobytes()
    resampler = StreamingResampler(8_000)
    return np.concatenate([resampler.feed(decode(line, "mulaw", 1)[0]), resampler.flush()])


@cache
def _mulaw_steps() -> tuple[Signal, NDArray[np.uint8]]:
    values = decode(bytes(range(256)), "mulaw", 1)[0].astype(np.float64)
    order = np.argsort(values, kind="stable")
    return values[order], order.astype(np.uint8)


def heard(samples: NDArray[np.int16]) -> list[ToneEvent]:
    detector = ToneDetector()
    return detector.feed(samples) + detector.flush()


def digits(events: Sequence[ToneEvent]) -> str:
    """The keys that were heard, in order."""
    names = {label: name for name, label in LABELS.items()}
    return "".join(names[event.label] for event in events if event.phase == "start" and event.label in names)


def story(events: Sequence[ToneEvent]) -> list[tuple[str, str]]:
    return [(event.phase, event.label) for event in events]
