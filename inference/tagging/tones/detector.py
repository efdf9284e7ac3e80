"""One channel's samples become tone events."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.tagging.tones import dtmf, dtmf_bank, spectrum
from inference.tagging.tones.bursts import HISTORY as BURST_HISTORY
from inference.tagging.tones.bursts import BurstState, BurstTracker
from inference.tagging.tones.cadence import CadenceState, CadenceTracker
from inference.tagging.tones.dtmf import DtmfDetector, DtmfState
from inference.tagging.tones.events import ToneEvent
from inference.tagging.tones.settings import ToneSettings, amplitude

GRID: Final = spectrum.HOP  # 320: four hops of the digits' kernels
TAIL: Final = max(BURST_HISTORY, dtmf.HISTORY)  # 3520 samples: what decisions to come look back on, 7 kB
SLICE: Final = 64 * GRID
"""Samples that are judged at once at most, 1.28 s: memory does not grow with what is fed."""
QUIET: Final = 0.45
"""Of the least amplitude of a tone. Windows of samples below this hold none: a Hann window makes at most twice the peak
of what lies in it."""


class BadStateError(ValueError):
    """A state that is none of this detector."""


class ToneState(msgspec.Struct, frozen=True, array_like=True):
    """All that a detector knows, beside its settings: about 8 kB."""

    position: int
    origin: int
    audio: bytes
    """int16, little-endian: TAIL samples and those that make no whole hop yet."""
    dtmf: DtmfState
    bursts: BurstState
    cadence: CadenceState


class ToneDetector:
    """Keys and call progress tones of one mono channel at 16 kHz.

    Events come in the order in which they are decided, and depend on the samples alone: digits are decided on a grid
    of 80 samples, other tones on one of 320, however the samples are cut. Work per sample and memory are constant.

    Order of calls: `feed` again and again; `flush` once, at the end. `state` at any time before that.
    """

    def __init__(self, settings: ToneSettings | None = None, origin_sample: int = 0) -> None:
        """`origin_sample` is the position of the first sample to be fed, a multiple of 320; silence was before it."""
        if origin_sample % GRID:
            raise ValueError(f"a tone detector begins on a multiple of {GRID} samples, not at {origin_sample}")
        self._settings = settings or ToneSettings()
        self._origin = origin_sample
        self.position = origin_sample
        """First sample not yet fed."""
        self._audio = np.zeros(TAIL, np.int16)
        self._dtmf_at = self._spectrum_at = origin_sample
        self._flushed = False
        self._quiet = QUIET * amplitude(self._settings.min_level_dbfs)
        self._skipped = False
        """Windows went unjudged: what the trackers look back on is to be made anew."""
        self._make(origin_sample)

    def _make(self, origin: int) -> None:
        self._dtmf = DtmfDetector(self._settings)
        self._bursts = BurstTracker(self._settings, origin)
        self._cadence = CadenceTracker(self._settings)

    def feed(self, pcm: NDArray[np.int16]) -> list[ToneEvent]:
        """Takes the next samples, int16 (n,), and returns what they decide.

        Raises:
            RuntimeError: the detector was flushed.
        """
        if self._flushed:
            raise RuntimeError("the tone detector is flushed; a new stream takes a new one")
        events: list[ToneEvent] = []
        for first in range(0, len(pcm), SLICE):
            events += self._take(pcm[first : first + SLICE])
        return events

    def flush(self) -> list[ToneEvent]:
        """The stream ends here: what is open is judged as if silence followed, and ends. Nothing can be fed after."""
        end = self.position
        events = self.feed(np.zeros(spectrum.WINDOW + GRID, np.int16))
        self._flushed = True
        self.position = end
        events += self._dtmf.finish(end)
        for change in self._bursts.finish(end):
            events += self._cadence.take(change, end)
        events += self._cadence.finish(end)
        return [_within(event, end) for event in events if event.start_sample < end]

    def state(self) -> ToneState:
        """A copy: it does not change with what is fed later."""
        state = ToneState(
            self.position,
            self._origin,
            self._audio.astype("<i2").tobytes(),
            self._dtmf.state(),
            self._bursts.state,
            self._cadence.state,
        )
        return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=ToneState)

    def restore(self, state: ToneState) -> None:
        """Goes on where the detector was whose state it is; for one with the same settings.

        Raises:
            BadStateError: the state is damaged.
        """
        partial = (state.position - state.origin) % GRID
        if len(state.audio) != 2 * (TAIL + partial) or state.position < state.origin or state.origin % GRID:
            raise BadStateError("the tone detector's state contradicts itself")
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=ToneState)
        self.position, self._origin = state.position, state.origin
        self._audio = np.frombuffer(state.audio, "<i2").astype(np.int16)
        self._spectrum_at = state.position - partial
        self._dtmf_at = state.position - partial % dtmf_bank.HOP
        self._flushed = False
        self._make(state.origin)
        self._dtmf.restore(state.dtmf, self._dtmf_history())
        self._bursts.remember(self._audio[TAIL - BURST_HISTORY : TAIL])
        self._skipped = False
        self._bursts.state = state.bursts
        self._cadence.state = state.cadence

    def _take(self, pcm: NDArray[np.int16]) -> list[ToneEvent]:
        self.position += len(pcm)
        begin = self._spectrum_at - TAIL  # of self._audio
        silent = self._is_silent(pcm)
        if self._skipped and not silent:
            self._dtmf.remember(self._dtmf_history())
            self._bursts.remember(self._audio[TAIL - BURST_HISTORY : TAIL])
        self._skipped = silent
        self._audio = np.concatenate((self._audio, pcm))
        events = [] if silent else self._judge_digits(begin) + self._judge_spectra(begin)
        self._dtmf_at = self._origin + (self.position - self._origin) // dtmf_bank.HOP * dtmf_bank.HOP
        self._spectrum_at = self._origin + (self.position - self._origin) // GRID * GRID
        self._audio = self._audio[self._spectrum_at - TAIL - begin :].copy()
        # Both give theirs in order; of the same moment digits come first.
        return sorted(events, key=lambda event: event.at_sample)

    def _is_silent(self, pcm: NDArray[np.int16]) -> bool:
        """No window that ends in these samples can hold a tone, and none is waited for."""
        if not (self._dtmf.idle and self._bursts.idle and self._cadence.idle):
            return False
        quiet = max(int(pcm.max(initial=0)), -int(pcm.min(initial=0))) < self._quiet
        return quiet and (self._skipped or int(np.abs(self._audio.astype(np.int32)).max()) < self._quiet)

    def _dtmf_history(self) -> NDArray[np.int16]:
        whole = TAIL + self._dtmf_at - self._spectrum_at
        return self._audio[whole - dtmf.HISTORY : whole]

    def _judge_digits(self, begin: int) -> list[ToneEvent]:
        hops = (self.position - self._dtmf_at) // dtmf_bank.HOP
        if not hops:
            return []
        first, self._dtmf_at = self._dtmf_at, self._dtmf_at + hops * dtmf_bank.HOP
        look_back = dtmf_bank.LEAD - dtmf_bank.HOP
        return self._dtmf.feed(self._audio[first - look_back - begin : self._dtmf_at - begin], first)

    def _judge_spectra(self, begin: int) -> list[ToneEvent]:
        events: list[ToneEvent] = []
        while self._spectrum_at + GRID <= self.position:
            self._spectrum_at += GRID
            at = self._spectrum_at
            for change in self._bursts.feed(self._audio[at - spectrum.WINDOW - begin : at - begin], at):
                events += self._cadence.take(change, at)
            events += self._cadence.pass_time(at)
        return events


def _within(event: ToneEvent, end: int) -> ToneEvent:
    """As decided at the end of the stream, not in the silence supposed behind it."""
    behind = None if event.end_sample is None else min(event.end_sample, end)
    return ToneEvent(event.label, event.phase, event.start_sample, behind, min(event.at_sample, end), event.detail)
