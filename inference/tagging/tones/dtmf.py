"""Keys of a telephone: which windows belong to one digit, where it began, and where it ended.

Frequencies by ITU-T Q.23; tolerances, twist, durations and interruptions by Q.24 (11/88), annex A. How rarely speech
may be taken for a digit (talk-off) is what Bellcore's TR-TSY-000763 and GR-506 measure on recorded conversations.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.tagging.tones.dtmf_bank import (
    HIGH_HZ,
    HOP,
    KERNEL,
    KEYS,
    LEAD,
    LOW_HZ,
    SPAN,
    Judge,
    Windows,
    analyse,
    line_beside,
)
from inference.tagging.tones.events import ToneEvent, Value
from inference.tagging.tones.settings import SAMPLE_RATE, SAMPLES_PER_MS, ToneSettings

REMEMBERED: Final = 24
"""Kernels whose strengths are kept: 120 ms, longer than a digit needs until it is accepted."""
HISTORY: Final = KERNEL + (REMEMBERED - 1) * HOP  # 2000 samples: what a restore needs of the audio
MIN_HITS: Final = 3
"""Windows that must hold the key: as many lie wholly inside the shortest digit."""
MAX_WANDER_HZ: Final = 2.2
"""Standard deviation of a tone's frequency over the windows of a digit. White noise at 10 dB makes it 1 Hz; voices that
sing a key glide (talk-off)."""
MIN_MEAN_SHARE: Final = 0.74
"""Mean of the energy shares of a digit's windows. White noise at 10 dB, and the edges, leave 0.87; at 5 dB 0.76."""
MAX_MEAN_LINE: Final = 0.1  # -10 dB
"""Mean of the strongest line beside the tones, over their strength (talk-off)."""
MAX_MISSES: Final = 6
"""An interruption of 10 ms spoils as many windows: SPAN + 2."""
_PER_TURN: Final = SAMPLE_RATE / (2 * math.pi * HOP)
"""Hz of a radian from kernel to kernel."""
FULL: Final = 0.7
"""A kernel with as much of the digit's amplitude lies inside the digit."""
FAINT: Final = 0.3
"""With less, it lies outside."""
BRIDGED: Final = 2
"""Faint kernels in a row that an interruption of 10 ms leaves."""
MAX_COVERED: Final = 24
"""Kernels without any window that holds the key, 120 ms, after which a digit is over although its frequencies are not
gone: something else sounds."""


class _Run(msgspec.Struct):
    """Windows that hold the same key."""

    key: tuple[int, int]
    hits: int = 0
    misses: int = 0
    drift: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    """Sums of the low and the high tone's turns, real and imaginary."""
    moments: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    """Of each tone's deviation in each window, in Hz: sum, and sum of squares."""
    share: float = 0.0
    """Sum of the windows' energy shares."""
    line: float = 0.0
    """Sum of the strengths of the strongest line beside the tones, over theirs; counted until the digit is said."""
    low: float = 0.0
    """Largest amplitudes."""
    high: float = 0.0


class _Digit(msgspec.Struct):
    """A digit that has been said."""

    run: _Run
    start_sample: int
    full_until: int
    """Behind the last kernel's cell that lay inside."""
    tail: float = 0.0
    """What of the digit lay in the kernels since, in kernels."""
    quiet: float = 0.0
    """What was missing in them."""
    covered: int = 0
    """Kernels since the last window that held the key in which its frequencies were there all the same."""


class DtmfState(msgspec.Struct, frozen=True, array_like=True):
    run: _Run | None
    digit: _Digit | None


class DtmfDetector:
    """Kernels become digits. Give it the samples of whole hops, each with the history before it.

    A digit starts when it has lasted for `dtmf_min_ms`, and ends when it has been gone for `dtmf_min_pause_ms`.
    """

    def __init__(self, settings: ToneSettings) -> None:
        self._judge = Judge(settings)
        self._tolerance = settings.dtmf_tolerance
        self._min_kernels = settings.dtmf_min_ms * SAMPLES_PER_MS / HOP
        self._pause_kernels = settings.dtmf_min_pause_ms * SAMPLES_PER_MS / HOP
        self._run: _Run | None = None
        self._digit: _Digit | None = None
        self._strengths: deque[NDArray[np.float64]] = deque(maxlen=REMEMBERED)

    def state(self) -> DtmfState:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(DtmfState(self._run, self._digit)), type=DtmfState)

    def restore(self, state: DtmfState, history: NDArray[np.int16]) -> None:
        """`history`: int16, the HISTORY samples before the next hop."""
        self._run, self._digit = state.run, state.digit
        self.remember(history)

    @property
    def idle(self) -> bool:
        """No digit is heard, or may be."""
        return self._run is None and self._digit is None

    def remember(self, history: NDArray[np.int16]) -> None:
        """int16, the HISTORY samples before the next hop: what is looked back on."""
        kernels = analyse(history)
        self._strengths.extend(np.sqrt(kernels.re[:, :8] ** 2 + kernels.im[:, :8] ** 2))

    def feed(self, pcm: NDArray[np.int16], at: int) -> list[ToneEvent]:
        """Judges whole hops.

        Args:
            pcm: int16 (LEAD - HOP + n * HOP,): n new hops, and what the first windows look back on.
            at: position of the first new sample.
        """
        kernels = analyse(pcm)
        squares = kernels.re[:, :8] ** 2 + kernels.im[:, :8] ** 2
        strengths = np.sqrt(squares[SPAN - 1 :])
        windows = self._judge.windows(kernels) if self._judge.possible(kernels, squares) else None
        hits = windows.hit.tolist() if windows is not None else [False] * len(strengths)
        events: list[ToneEvent] = []
        for i, hit in enumerate(hits):
            self._strengths.append(strengths[i])
            if hit or self._run is not None or self._digit is not None:
                window = pcm[i * HOP : i * HOP + LEAD]
                events += self._step(windows if hit else None, i, window, at + (i + 1) * HOP)
        return events

    def finish(self, end: int) -> list[ToneEvent]:
        """The audio ends: so does a digit."""
        digit, self._digit, self._run = self._digit, None, None
        return [] if digit is None else [_ended(digit, end, end)]

    def _step(self, windows: Windows | None, i: int, window: NDArray[np.int16], at: int) -> list[ToneEvent]:
        """The next window, the i-th of `windows`; None: it holds no key."""
        hit = windows is not None
        self._follow(windows, i, window)
        events = self._look_for_end(hit, at) if self._digit is not None else []
        run, digit = self._run, self._digit
        if run is None or not hit or run.hits < MIN_HITS or (digit is not None and digit.run.key == run.key):
            return events
        if _deviation(run) > self._tolerance or not _pure(run):
            return events
        length, before = self._extent(run)
        if length < self._min_kernels:
            return events
        if digit is not None:
            events.append(_ended(digit, at, at))
        full_until = at - HOP // 2  # the newest kernel's cell: HOP samples around its centre
        start = max(0, full_until - round(before * HOP))
        self._digit = _Digit(_copy(run), start, full_until)
        return [*events, ToneEvent(_label(run), "start", start, None, at, _detail(run))]

    def _follow(self, windows: Windows | None, i: int, window: NDArray[np.int16]) -> None:
        """Counts the windows that hold the same key."""
        if windows is None:
            if self._run is not None:
                self._run.misses += 1
                if self._run.misses > MAX_MISSES:
                    self._run = None
            return
        key = (int(windows.low[i]), int(windows.high[i]))
        if self._run is None or self._run.key != key:
            self._run = _Run(key)
        run = self._run
        run.hits, run.misses = run.hits + 1, 0
        low, high = key[0], 4 + key[1]
        turns = (
            windows.drift_re[i, low],
            windows.drift_im[i, low],
            windows.drift_re[i, high],
            windows.drift_im[i, high],
        )
        run.drift = [total + float(turn) for total, turn in zip(run.drift, turns, strict=True)]
        off = _PER_TURN * math.atan2(turns[1], turns[0]), _PER_TURN * math.atan2(turns[3], turns[2])
        moments = (off[0], off[0] ** 2, off[1], off[1] ** 2)
        run.moments = [total + moment for total, moment in zip(run.moments, moments, strict=True)]
        run.share += float(windows.share[i])
        if self._digit is None or self._digit.run.key != key:
            tones = float(windows.low_amplitude[i]) ** 2 + float(windows.high_amplitude[i]) ** 2
            run.line += line_beside(window, *_nominal(run)) / tones
        run.low = max(run.low, float(windows.low_amplitude[i]))
        run.high = max(run.high, float(windows.high_amplitude[i]))

    def _presence(self, run: _Run, strengths: NDArray[np.float64]) -> float:
        """How much of a kernel the digit fills, 0 to 1."""
        return min(float(strengths[run.key[0]]) / run.low, float(strengths[4 + run.key[1]]) / run.high, 1.0)

    def _extent(self, run: _Run) -> tuple[float, float]:
        """Kernels that the digit has filled, and kernels from its begin on, interruptions among them.

        Hann windows at this hop add up to a constant, so what a tone leaves in all of them adds up to its length.
        """
        filled = spanned = faint = 0.0
        for strengths in reversed(self._strengths):
            presence = self._presence(run, strengths)
            if presence < FAINT:
                faint += 1
                if faint > BRIDGED:
                    break
                continue
            spanned += presence + faint
            filled += presence
            faint = 0
        return filled, spanned

    def _look_for_end(self, hit: bool, at: int) -> list[ToneEvent]:
        digit = self._digit
        assert digit is not None
        presence = self._presence(digit.run, self._strengths[-1])
        full_until = at - HOP // 2
        holds = hit and self._run is not None and self._run.key == digit.run.key
        if holds and self._run is not None:
            digit.run, digit.covered = _copy(self._run), 0
        elif presence >= FULL:
            digit.covered += 1
        if presence >= FULL and digit.covered <= MAX_COVERED:
            digit.full_until, digit.tail, digit.quiet = full_until, 0.0, 0.0
            return []
        if full_until - digit.full_until <= 2 * HOP:  # an edge lies in two kernels
            digit.tail += presence
        digit.quiet += 1 - presence
        if digit.quiet < self._pause_kernels and digit.covered <= MAX_COVERED:
            return []
        self._digit = None
        if self._run is not None and self._run.key == digit.run.key:
            self._run = None
        return [_ended(digit, at, at)]


def _ended(digit: _Digit, latest: int, at: int) -> ToneEvent:
    end = min(digit.full_until + round(digit.tail * HOP), latest)
    return ToneEvent(_label(digit.run), "end", digit.start_sample, end, at, _detail(digit.run))


def _copy(run: _Run) -> _Run:
    return msgspec.structs.replace(run, drift=list(run.drift), moments=list(run.moments))


def _label(run: _Run) -> str:
    return f"dtmf_{KEYS[run.key[0]][run.key[1]]}"


def _nominal(run: _Run) -> tuple[float, float]:
    return LOW_HZ[run.key[0]], HIGH_HZ[run.key[1]]


def _hertz(run: _Run) -> tuple[float, float]:
    """Measured over all windows of the run."""
    low_re, low_im, high_re, high_im = run.drift
    low, high = _nominal(run)
    return low + _PER_TURN * math.atan2(low_im, low_re), high + _PER_TURN * math.atan2(high_im, high_re)


def _deviation(run: _Run) -> float:
    return max(abs(hertz / nominal - 1) for hertz, nominal in zip(_hertz(run), _nominal(run), strict=True))


def _wander(run: _Run) -> float:
    """Of the less steady tone, in Hz."""
    low, low_squares, high, high_squares = (value / run.hits for value in run.moments)
    return math.sqrt(max(low_squares - low * low, high_squares - high * high, 0.0))


def _pure(run: _Run) -> bool:
    """Two steady tones and little else, on the mean of the run's windows."""
    alone = run.share >= MIN_MEAN_SHARE * run.hits and run.line <= MAX_MEAN_LINE * run.hits
    return alone and _wander(run) <= MAX_WANDER_HZ


def _detail(run: _Run) -> dict[str, Value]:
    return {
        "hz": [round(hertz, 1) for hertz in _hertz(run)],
        "twist_db": round(20 * math.log10(run.high / run.low), 1),
        "level_dbfs": round(10 * math.log10((run.low**2 + run.high**2) / 32_767**2), 1),
    }
