"""Telephone tones as exchanges play them, with the levels, phases and noise of lines: what tone naming is learnt from.

Frequencies (Hz) and cadences (s on, s off) are those of ITU-T E.180 and its supplement 2, T.30, Q.23 and the North
American Precise Tone Plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
KEYS = {
    key: (row, column)
    for row, keys in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for column, key in zip((1209, 1336, 1477, 1633), keys, strict=True)
}
"""Q.23: each key's row and column in Hz."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Sines that sound together, then silence."""

    hertz: tuple[float, ...]
    on_s: float
    off_s: float = 0.0


CADENCES: dict[str, tuple[tuple[Beat, ...], ...]] = {
    "dial tone": ((Beat((350, 440), 1),), (Beat((425,), 1),)),
    "ringback tone": (
        (Beat((440, 480), 2, 4),),
        (Beat((425,), 1, 4),),
        (Beat((440,), 1.5, 3.5),),
        (Beat((400,), 1, 2),),
        (Beat((400, 450), 0.4, 0.2), Beat((400, 450), 0.4, 2)),
    ),
    "busy tone": ((Beat((480, 620), 0.5, 0.5),), (Beat((425,), 0.5, 0.5),), (Beat((400,), 0.375, 0.375),)),
    "congestion tone": ((Beat((480, 620), 0.25, 0.25),), (Beat((425,), 0.25, 0.25),)),
    "call waiting tone": ((Beat((440,), 0.3, 9.7),), (Beat((440,), 0.3, 3.7),)),
    "special information tone": ((Beat((950,), 0.33), Beat((1400,), 0.33), Beat((1800,), 0.33, 1)),),
    "fax calling tone": ((Beat((1100,), 0.5, 3),),),
    "fax answer tone": ((Beat((2100,), 3.3, 0.7),),),
    "off hook tone": ((Beat((1400, 2060, 2450, 2600), 0.1, 0.1),),),
    "recording tone": ((Beat((1400,), 0.5, 4.5),),),
    "voicemail beep": ((Beat((1000,), 0.4, 30),),),
    "smoke alarm": ((Beat((3100,), 0.5, 0.5), Beat((3100,), 0.5, 0.5), Beat((3100,), 0.5, 1.5)),),
}
"""The variants of each tone, by the name it is given."""


@dataclass(frozen=True, slots=True)
class Tone:
    name: str
    """Of `CADENCES`; of keys `keys` and the keys, each apart: `keys 4 1 #`."""
    samples: NDArray[np.float32]
    """(n,) in [-1, 1], 16 kHz."""


def call_tone(name: str, generator: np.random.Generator) -> Tone:
    """A tone of `CADENCES` for 2 to 8 s, on one variant of it, some 1 % off in pitch and 5 % in time."""
    variants = CADENCES[name]
    beats = variants[generator.integers(len(variants))]
    seconds = generator.uniform(2, 8)
    pitch, pace = generator.normal(1, 0.005), generator.normal(1, 0.03)
    cycle = np.concatenate([_beat(beat, pitch, pace, generator) for beat in beats])
    repeated = np.tile(cycle, int(np.ceil(seconds * SAMPLE_RATE / len(cycle))))[: int(seconds * SAMPLE_RATE)]
    return Tone(name, _on_a_line(repeated, generator))


def keys_tone(keys: str, generator: np.random.Generator) -> Tone:
    """Keys of `KEYS` one after the other, 50 to 200 ms each (Q.24 asks for 40 at least) and as much between them."""
    on, off = generator.uniform(0.05, 0.2), generator.uniform(0.05, 0.15)
    beats = [_beat(Beat(KEYS[key], on, off), 1.0, 1.0, generator) for key in keys]
    lead = np.zeros(int(generator.uniform(0, 0.3) * SAMPLE_RATE))
    return Tone("keys " + " ".join(keys.lower()), _on_a_line(np.concatenate([lead, *beats]), generator))


def draw_tone(generator: np.random.Generator) -> Tone:
    """Half of them call tones, each name as often; half of them 1 to 10 keys."""
    if generator.random() < 0.5:
        return call_tone(list(CADENCES)[generator.integers(len(CADENCES))], generator)
    if generator.random() < 0.3:  # one key, pressed again and again
        keys = str(generator.choice(list(KEYS))) * int(generator.integers(1, 5))
    else:
        keys = "".join(generator.choice(list(KEYS), size=generator.integers(1, 12)))
    return keys_tone(keys, generator)


def _beat(beat: Beat, pitch: float, pace: float, generator: np.random.Generator) -> NDArray[np.float64]:
    times = np.arange(round(beat.on_s * pace * SAMPLE_RATE)) / SAMPLE_RATE
    sines = [np.sin(2 * np.pi * (hertz * pitch * times + generator.random())) for hertz in beat.hertz]
    return np.concatenate([np.mean(sines, axis=0), np.zeros(round(beat.off_s * pace * SAMPLE_RATE))])


def _on_a_line(signal: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float32]:
    level = 10 ** (generator.uniform(-25, -3) / 20)
    noise = 10 ** (generator.uniform(-80, -45) / 20) * generator.standard_normal(len(signal))
    return np.clip(level * signal + noise, -1, 1).astype(np.float32)
