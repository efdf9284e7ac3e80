"""Spectra become bursts: one steady tone, or two, from where they begin to sound to where they cease."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.tagging.tones.plans import BEEP_HZ, PAIRS, SINGLES
from inference.tagging.tones.settings import ToneSettings, amplitude
from inference.tagging.tones.spectrum import HOP, WINDOW, Spectrum, energy, spectrum, strength, tones

REMEMBERED: Final = 7
"""Spectra in which the begin of a burst is looked for: 140 ms."""
HISTORY: Final = WINDOW + (REMEMBERED - 1) * HOP  # 3520 samples: what a restore needs of the audio
OPENING: Final = 4
"""Spectra in a row that hold the same tone: together they look at 160 ms, of which the tone has sounded about 110."""
STEADY: Final = 0.006
"""Of a frequency: how much it may move while a burst opens. Voices glide more."""
SAME: Final = 0.015
"""Of a frequency: how far off it is still the same tone."""
MAX_MASKED: Final = 6
"""Spectra in which something else covers an open burst, or its phase reverses (CED), before it is over: 120 ms."""
EDGE: Final = 3
"""The last spectra of a burst are not wholly inside: 60 ms are more than half a window."""
REVERSED: Final = 0.6
"""Of a burst's energy: as much is there still where its phase reverses (CED), and not where it ends: a window of which
it fills half has half of it."""
FADED: Final = 0.25
"""Of a burst's strength: as much is left EDGE spectra behind its end where it fades."""
CUT: Final = 480
"""A burst that begins within 30 ms of the first sample may have begun before it."""


class Burst(msgspec.Struct):
    hertz: list[float]
    """The frequency, or the two in ascending order."""
    start_sample: int
    cut: bool
    """It may have begun before the first sample."""
    end_sample: int | None = None
    """First sample behind it; None while it sounds."""
    weakest: float = 1.0
    """Of the windows that lie wholly inside: least strength, as a share of the largest."""
    swing: float = 0.0
    """Of the same windows: between the lowest and the highest frequency, as a share of it."""


@dataclass(frozen=True, slots=True)
class Opened:
    burst: Burst


@dataclass(frozen=True, slots=True)
class Closed:
    burst: Burst


@dataclass(frozen=True, slots=True)
class Faded:
    """The burst that closed last had no sharp end: its tone is still there, weaker."""

    start_sample: int


Change = Opened | Closed | Faded


class _Watch(msgspec.Struct):
    """A burst that has just ended."""

    start_sample: int
    hertz: list[float]
    limit: float
    """Strength above which it has faded, not ended."""
    spectra: int = 0


class _Streak(msgspec.Struct):
    hertz: list[float]
    count: int = 1


class BurstState(msgspec.Struct, array_like=True):
    streak: _Streak | None = None
    open_burst: Burst | None = None
    peak: float = 0.0
    """Largest strength of the open burst."""
    masked: int = 0
    heard_at: int = 0
    """Centre of the last spectrum that held the open burst."""
    energy: float = 0.0
    """Largest energy around it."""
    strength: float = 0.0
    """In the last spectrum."""
    newest: list[tuple[float, float]] = []
    """Strength and frequency of the last spectra, which may yet prove to lie on the burst's end."""
    extremes: list[float] = []
    """Of those before, that lie inside: least and largest strength, least and largest frequency."""
    watch: _Watch | None = None
    ended_at: int = 0
    """Where the last burst ended: the next begins there or later."""


class BurstTracker:
    """A burst begins and ends where a window that is half filled by it leaves half its amplitude: Hann windows are
    symmetric, so that is where its centre lies on the edge."""

    def __init__(self, settings: ToneSettings, origin: int) -> None:
        self._floor = amplitude(settings.min_level_dbfs) ** 2
        self._origin = origin
        self._recent: deque[Spectrum] = deque(maxlen=REMEMBERED)
        self.state = BurstState()

    @property
    def idle(self) -> bool:
        """No tone is heard, or may be."""
        return self.state.open_burst is None and self.state.streak is None and self.state.watch is None

    def remember(self, history: NDArray[np.int16]) -> None:
        """int16, the HISTORY samples before the next hop, of which the spectra that are looked back on are made."""
        for i in range(REMEMBERED):
            self._recent.append(spectrum(history[i * HOP : i * HOP + WINDOW]))

    def feed(self, window: NDArray[np.int16], at: int) -> list[Change]:
        """Takes int16 (WINDOW,) that end at `at`."""
        heard = spectrum(window)
        self._recent.append(heard)
        found = tones(heard, self._floor)
        state, events = self.state, list[Change]()
        if state.watch is not None:
            events += self._fading(state.watch, heard)
        if state.open_burst is not None:
            events += self._follow(state.open_burst, heard, found, at - WINDOW // 2)
        if not found or (state.open_burst is not None and _same(found, state.open_burst.hertz, SAME)):
            state.streak = None
        elif state.streak is not None and _same(found, state.streak.hertz, STEADY):
            state.streak.count += 1
            state.streak.hertz = [(old + new) / 2 for old, new in zip(state.streak.hertz, found, strict=True)]
        else:
            state.streak = _Streak(list(found)) if _wanted(found) else None
        if state.streak is not None and state.streak.count >= OPENING:
            events += self._open(state.streak.hertz, at - WINDOW // 2)
        return events

    def finish(self, end: int) -> list[Change]:
        """The audio ends."""
        burst = self.state.open_burst
        self.state = BurstState()
        if burst is None:
            return []
        burst.end_sample = end
        return [Closed(burst)]

    def _open(self, hertz: list[float], centre: int) -> list[Change]:
        state = self.state
        strengths = [strength(heard, hertz) for heard in self._recent]
        full = max(strengths[-OPENING:])
        start = centre - (len(strengths) - 1) * HOP
        for i in range(len(strengths) - OPENING, -1, -1):
            if strengths[i] < full / 2:
                share = (full / 2 - strengths[i]) / (strengths[i + 1] - strengths[i])
                start = centre - round((len(strengths) - 1 - i - share) * HOP)
                break
        events: list[Change] = []
        if state.open_burst is not None:
            events += self._close(state.open_burst, min(start, state.heard_at))
        burst = Burst(hertz, max(start, self.state.ended_at, self._origin), start < self._origin + CUT)
        self.state = BurstState(
            None,
            burst,
            full,
            0,
            centre,
            energy(self._recent[-1], hertz),
            strengths[-1],
            watch=state.watch,
            ended_at=state.ended_at,
        )
        return [*events, Opened(burst)]

    def _follow(self, burst: Burst, heard: Spectrum, found: tuple[float, ...], centre: int) -> list[Change]:
        state = self.state
        now = strength(heard, burst.hertz)
        before, state.strength = state.strength, now
        half = state.peak / 2
        around = energy(heard, burst.hertz)
        if now < half and around < REVERSED * state.energy:
            share = (before - half) / (before - now) if before > now else 1.0
            return self._close(burst, centre - HOP + round(min(max(share, 0.0), 1.0) * HOP))
        if _same(found, burst.hertz, SAME):
            state.masked, state.heard_at = 0, centre
            state.peak, state.energy = max(state.peak, now), max(state.energy, around)
            if centre >= burst.start_sample + WINDOW // 2:
                self._measure(now, found[0])
            return []
        state.masked += 1
        return self._close(burst, state.heard_at) if state.masked > MAX_MASKED else []

    def _fading(self, watch: _Watch, heard: Spectrum) -> list[Change]:
        watch.spectra += 1
        if watch.spectra < EDGE:
            return []
        self.state.watch = None
        return [Faded(watch.start_sample)] if strength(heard, watch.hertz) > watch.limit else []

    def _measure(self, now: float, hertz: float) -> None:
        state = self.state
        state.newest.append((now, hertz))
        if len(state.newest) <= EDGE:
            return
        inside, at = state.newest.pop(0)
        weakest, strongest, lowest, highest = state.extremes or (inside, inside, at, at)
        state.extremes = [min(weakest, inside), max(strongest, inside), min(lowest, at), max(highest, at)]

    def _close(self, burst: Burst, end: int) -> list[Change]:
        self.state.open_burst = None
        if self.state.extremes:
            weakest, strongest, lowest, highest = self.state.extremes
            burst.weakest, burst.swing = weakest / strongest, (highest - lowest) / lowest
        burst.end_sample = self.state.ended_at = max(end, burst.start_sample)
        self.state.watch = _Watch(burst.start_sample, burst.hertz, FADED * self.state.peak)
        return [Closed(burst)]


def _same(one: Sequence[float], other: Sequence[float], tolerance: float) -> bool:
    return len(one) == len(other) and all(abs(a - b) <= tolerance * b for a, b in zip(one, other, strict=True))


def _wanted(found: tuple[float, ...]) -> bool:
    """Pairs that some plan knows, and single tones that it knows or that a beep may have."""
    if len(found) == 2:
        return any(_same(found, pair, SAME) for pair in PAIRS)
    return BEEP_HZ[0] <= found[0] <= BEEP_HZ[1] or any(_same(found, single, SAME) for single in SINGLES)
