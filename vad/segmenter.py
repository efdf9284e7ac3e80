"""Samples become segments: frames, detector, hysteresis, endpoint rules, and where exactly to cut."""

from __future__ import annotations

import math
import struct
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from vad.detector import RECENT_FRAMES, BadStateError, SpeechDetector
from vad.endpointer import fired_rule, rules_for
from vad.hysteresis import Hysteresis, HysteresisState
from vad.settings import (
    FRAME_SAMPLES,
    GRID_SAMPLES,
    SAMPLE_RATE,
    EndpointSettings,
    grid_ceil,
    grid_floor,
    ms_to_samples,
)

CommandedEnd = Literal["finalize", "stop", "gap"]
EndRule = Literal["silence", "max_length", "finalize", "stop", "gap"]

SMOOTHING_FRAMES: Final = 5
"""A quiet point is judged by this many frames around it: 160 ms."""
SPLIT_REACH_SAMPLES: Final = 3 * SAMPLE_RATE
"""How far back from its longest a segment may be split: words after the split move to the next utterance."""
DB_PER_PROBABILITY: Final = 40.0
"""How much quieter a point must be to weigh as much as one full probability of speech."""
PAUSE_SHARE: Final = 0.4
"""Of the trailing silence that ends a segment: from here on it is likely that it ends."""
_FLOAT32: Final = struct.Struct("<f")
_NOTHING: Final = np.zeros(0, np.int16)
_REMEMBERED_FRAMES: Final = 32 * SAMPLE_RATE // FRAME_SAMPLES  # 1000: longer than any segment


@dataclass(frozen=True, slots=True)
class SegmentStarted:
    """All positions are samples at 16 kHz, here and below."""

    start_sample: int
    """First sample of the segment, with pre-roll; a multiple of 320."""
    onset_sample: int
    """Where speech began."""
    at_sample: int
    """Where the clock stood when this was decided: no later audio was looked at."""


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    start_sample: int
    end_sample: int
    """First sample behind the segment, with padding; a multiple of 320, at most `at_sample`."""
    offset_sample: int
    """Where speech ended."""
    at_sample: int
    rule: EndRule


@dataclass(frozen=True, slots=True)
class SegmentPaused:
    """PAUSE_SHARE of the silence that ends a segment has gone by. If nobody speaks before it ends, it ends at
    `end_sample`.

    Long segments, which a shorter silence ends, may have no pauses.
    """

    end_sample: int
    """A multiple of 320, at most `at_sample`."""
    offset_sample: int
    """Where speech ended."""
    at_sample: int


@dataclass(frozen=True, slots=True)
class SegmentResumed:
    """Speech goes on after a SegmentPaused: that end is void."""

    at_sample: int


@dataclass(frozen=True, slots=True)
class NoSpeech:
    """Nobody has spoken for `no_speech_ms`. Said once, until somebody speaks."""

    at_sample: int


SegmentEvent = SegmentStarted | SegmentPaused | SegmentResumed | SegmentEnded | NoSpeech


class SegmenterState(msgspec.Struct, frozen=True, array_like=True):
    """All that a segmenter knows, beside its settings and the audio from `recent_from` on."""

    position: int
    judged_until: int
    keep_from: int
    silent_since: int
    no_speech_said: bool
    paused: bool
    open_segment: tuple[int, int, int] | None
    """`start_sample`, `onset_sample`, `at_sample`"""
    loudness: bytes
    """float32, little-endian"""
    hysteresis: HysteresisState
    detector: bytes


class Segmenter:
    """Cuts one stream into segments of speech.

    ::

        speech           ______#########____#######__________________
        segment             [--.------------------.----)
                            |  |                  |    |      |
                start_sample   onset_sample       |    |      at_sample of SegmentEnded: min_silence after offset
                (pre-roll before onset)           |    end_sample (pad after offset)
                                                  offset_sample

    SegmentPaused comes PAUSE_SHARE of the way from `offset_sample` to `at_sample` (later where the padding is longer),
    and SegmentResumed if speech goes on after it; a segment that ends without pause has neither.

    A segment never begins before the end of the one before, nor is it longer than `max_utterance_ms`: one that grows
    long ends at ever shorter pauses (rule "max_length"); one without any is split at the quietest point of its last
    three seconds, and the next begins right there.

    What comes out depends on the samples and on the positions at which `finish` and `reconfigure` are called, never
    on how the samples are cut. Order of calls: `feed` and, at any time, `finish`, `reconfigure`.
    """

    def __init__(self, settings: EndpointSettings, detector: SpeechDetector, origin_sample: int = 0) -> None:
        """`origin_sample` is the position of the first sample to be fed, a multiple of 320."""
        if origin_sample % GRID_SAMPLES:
            raise ValueError(f"a segmenter begins on a multiple of {GRID_SAMPLES} samples, not at {origin_sample}")
        self._origin = origin_sample
        self.position = origin_sample
        """First sample not yet fed."""
        self.open_segment: SegmentStarted | None = None
        """The event that opened the segment which is open now."""
        self.keep_from = origin_sample
        """No segment, open or to come, begins before this: earlier audio may be forgotten."""
        self._detector = detector
        self._hysteresis = Hysteresis(settings.threshold, ms_to_samples(settings.min_speech_ms))
        self._partial = _NOTHING
        self._judged_until = origin_sample
        self._silent_since = origin_sample
        self._no_speech_said = False
        self._paused = False
        self._loudness: deque[float] = deque(maxlen=_REMEMBERED_FRAMES)
        self._apply(settings)

    @property
    def unconfirmed_onset(self) -> int | None:
        """Where speech may have begun that is not confirmed yet; None in silence and in confirmed speech."""
        return None if self._hysteresis.speaking else self._hysteresis.onset_sample

    @property
    def decided_until(self) -> int:
        """Whether there is speech is known up to here: none begins or ends before this that is not told yet. (That a
        segment is split may be told later: speech goes on there.)"""
        if self._hysteresis.speaking and self.open_segment is not None:
            return self._judged_until
        if self.open_segment is not None:
            return self._offset(self.open_segment)
        onset = self._hysteresis.onset_sample
        return self._judged_until if onset is None else onset

    @property
    def recent_from(self) -> int:
        """A restore needs the audio from here on."""
        return max(self._origin, self._judged_until - RECENT_FRAMES * FRAME_SAMPLES)

    def state(self) -> SegmenterState:
        segment = self.open_segment
        return SegmenterState(
            self.position,
            self._judged_until,
            self.keep_from,
            self._silent_since,
            self._no_speech_said,
            self._paused,
            (segment.start_sample, segment.onset_sample, segment.at_sample) if segment else None,
            np.array(self._loudness, "<f4").tobytes(),
            self._hysteresis.state(),
            self._detector.state(),
        )

    def restore(self, state: SegmenterState, recent: NDArray[np.int16]) -> None:
        """Goes on where the segmenter was whose state it is; for a new one with the settings of then.

        Args:
            recent: int16 (n,), the audio from `recent_from`, or from earlier on, up to the state's position.

        Raises:
            BadStateError: the state is damaged, or the audio is not all there.
        """
        partial = state.position - state.judged_until
        if not (0 <= partial < FRAME_SAMPLES and partial <= len(recent) and len(state.loudness) % 4 == 0):
            raise BadStateError("the segmenter's state contradicts itself")
        whole = recent[: len(recent) - partial]
        frames = min(RECENT_FRAMES, len(whole) // FRAME_SAMPLES)
        self._detector.restore(state.detector, whole[len(whole) - frames * FRAME_SAMPLES :])
        self._hysteresis.restore(state.hysteresis)
        self.position = state.position
        self.open_segment = SegmentStarted(*state.open_segment) if state.open_segment else None
        self.keep_from = state.keep_from
        self._judged_until = state.judged_until
        self._silent_since = state.silent_since
        self._no_speech_said = state.no_speech_said
        self._paused = state.paused
        self._loudness.extend(np.frombuffer(state.loudness, "<f4").tolist())
        self._partial = recent[len(whole) :].copy()

    def feed(self, pcm: NDArray[np.int16]) -> list[SegmentEvent]:
        """Takes the next samples, int16 (n,), and returns what is decided by their whole frames."""
        self.position += len(pcm)
        samples = np.concatenate((self._partial, pcm)) if len(self._partial) else pcm
        events: list[SegmentEvent] = []
        whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
        for at in range(0, whole, FRAME_SAMPLES):
            events += self._judge(samples[at : at + FRAME_SAMPLES])
        self._partial = samples[whole:].copy() if whole < len(samples) else _NOTHING
        return events

    def finish(self, rule: CommandedEnd) -> list[SegmentEvent]:
        """Ends the open segment now. Where speech is going on, it takes all audio up to `position` (rounded down).

        More samples may follow: speech that goes on then opens a new segment that begins where this one ended.
        """
        if self.open_segment is None:
            return []
        speaking = self._hysteresis.speaking
        offset = self.position if speaking else self._offset(self.open_segment)
        event = self._end(self.open_segment, offset, self.position, rule)
        self._hysteresis.reset()
        return [event]

    def reconfigure(self, settings: EndpointSettings, detector: SpeechDetector | None = None) -> None:
        """Applies from the first frame on that is not complete yet. Another detector hears nothing of before."""
        self._apply(settings)
        self._hysteresis.configure(settings.threshold, ms_to_samples(settings.min_speech_ms))
        if detector is not None:
            self._detector = detector

    def _apply(self, settings: EndpointSettings) -> None:
        self._rules = rules_for(settings)
        self._pre_roll = ms_to_samples(settings.pre_roll_ms)
        self._pad = ms_to_samples(settings.pad_ms)
        self._longest = ms_to_samples(settings.max_utterance_ms)
        self._pause = int(ms_to_samples(settings.min_silence_ms) * PAUSE_SHARE)

    def _judge(self, frame: NDArray[np.int16]) -> list[SegmentEvent]:
        probability = self._detector.probability(frame)
        if self.open_segment is not None:
            # Rounded to what a state holds, so that a restored segmenter weighs the same.
            self._loudness.append(_to_float32(probability + _level_db(frame) / DB_PER_PROBABILITY))
        first, at = self._judged_until, self._judged_until + FRAME_SAMPLES
        self._hysteresis.update(probability, first, at)
        self._judged_until = at
        if self.open_segment is None:
            return self._look_for_begin(at)
        return self._look_for_end(self.open_segment, at)

    def _look_for_begin(self, at: int) -> list[SegmentEvent]:
        onset = self._hysteresis.onset_sample
        earliest = grid_floor((at if onset is None else onset) - self._pre_roll)
        self.keep_from = max(self.keep_from, earliest)
        if self._hysteresis.speaking and onset is not None and grid_floor(at) > self.keep_from:
            # Frames before this one were not weighed: no segment is split there.
            self._loudness.extend([math.inf] * -(-(at - self.keep_from) // FRAME_SAMPLES))
            return [self._start(self.keep_from, onset, at)]
        silence = at - self._silent_since
        rule = fired_rule(self._rules, in_utterance=False, trailing_silence_samples=silence, length_samples=0)
        if rule == "no_speech" and not self._no_speech_said:
            self._no_speech_said = True
            return [NoSpeech(at)]
        return []

    def _look_for_end(self, segment: SegmentStarted, at: int) -> list[SegmentEvent]:
        # Speech that may be about to be confirmed ends the silence where it began.
        onset = self._hysteresis.onset_sample
        silence = (at if onset is None else onset) - self._offset(segment)
        rule = fired_rule(
            self._rules,
            in_utterance=True,
            trailing_silence_samples=0 if self._hysteresis.speaking else silence,
            length_samples=at - segment.start_sample,
        )
        if rule == "silence":
            return [self._end(segment, self._offset(segment), at, "silence")]
        if rule == "max_length":
            paused = not self._hysteresis.speaking and self._offset(segment) <= segment.start_sample + self._longest
            return [self._end(segment, self._offset(segment), at, rule)] if paused else self._split(segment, at)
        return self._look_for_pause(segment, at)

    def _look_for_pause(self, segment: SegmentStarted, at: int) -> list[SegmentEvent]:
        if self._hysteresis.speaking:
            resumed = [SegmentResumed(at)] if self._paused else []
            self._paused = False
            return [*resumed]
        offset = self._offset(segment)
        all_padding_there = grid_floor(at) >= grid_ceil(offset + self._pad)
        confirming = self._hysteresis.onset_sample is not None
        if self._paused or confirming or at - offset < self._pause or not all_padding_there:
            return []
        self._paused = True
        return [SegmentPaused(self._padded_end(segment, offset, at), offset, at)]

    def _split(self, segment: SegmentStarted, at: int) -> list[SegmentEvent]:
        cut = self._quietest(segment, at)
        offset = self._offset(segment)
        if offset <= cut:
            return [self._end(segment, offset, at, "max_length")]
        ended = self._end(segment, cut, at, "max_length", end=cut)
        started = self._start(cut, cut, at)
        # Only a maximum that was lowered while the segment was open leaves more than one split to do.
        return [ended, started, *self._look_for_end(started, at)]

    def _quietest(self, segment: SegmentStarted, at: int) -> int:
        """The multiple of 320 near the end of the longest segment where it is quietest, the latest of equals."""
        behind = SMOOTHING_FRAMES // 2
        first_frame = at - len(self._loudness) * FRAME_SAMPLES
        centre = first_frame + behind * FRAME_SAMPLES + FRAME_SAMPLES // 2  # of the first smoothed value
        low = segment.start_sample + max(self._longest * 2 // 3, self._longest - SPLIT_REACH_SAMPLES)
        high = segment.start_sample + self._longest
        begin = max(0, -(-(low - centre) // FRAME_SAMPLES))
        stop = (high - centre) // FRAME_SAMPLES + 1
        near = np.array(list(islice(self._loudness, begin, stop + 2 * behind)))
        smooth = np.convolve(near, np.full(SMOOTHING_FRAMES, 1 / SMOOTHING_FRAMES), "valid")
        best = len(smooth) - 1 - int(np.argmin(smooth[::-1]))
        return grid_floor(centre + (begin + best) * FRAME_SAMPLES)

    def _start(self, start: int, onset: int, at: int) -> SegmentStarted:
        self.open_segment = SegmentStarted(start_sample=start, onset_sample=onset, at_sample=at)
        self.keep_from = start
        self._no_speech_said = False
        self._paused = False
        return self.open_segment

    def _end(
        self, segment: SegmentStarted, offset: int, at: int, rule: EndRule, end: int | None = None
    ) -> SegmentEnded:
        end_of_speech = end is None
        if end is None:
            end = self._padded_end(segment, offset, at)
        self.open_segment = None
        if end_of_speech:
            self._loudness.clear()
        self.keep_from = end
        self._silent_since = offset
        return SegmentEnded(
            start_sample=segment.start_sample, end_sample=end, offset_sample=offset, at_sample=at, rule=rule
        )

    def _padded_end(self, segment: SegmentStarted, offset: int, at: int) -> int:
        return min(grid_ceil(offset + self._pad), grid_floor(at), grid_floor(segment.start_sample + self._longest))

    def _offset(self, segment: SegmentStarted) -> int:
        """Where the segment's speech ended, as far as is known."""
        return max(self._hysteresis.offset_sample or 0, segment.onset_sample)


def _to_float32(value: float) -> float:
    rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    return rounded


def _level_db(frame: NDArray[np.int16]) -> float:
    """Mean power in decibels above one quantum, so that silence is 0 and full scale 90."""
    samples = frame.astype(np.float32)
    return 10 * math.log10(float(samples @ samples) / len(samples) + 1)
