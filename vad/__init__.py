"""Voice activity: samples at 16 kHz become speech, endpoints and segments.

Everything here is pure and takes one stream. Make a detector with `make_detector`, give it to a `Segmenter`.
"""

from __future__ import annotations

from vad.cascade import CascadeDetector
from vad.detector import BadStateError, DetectorError, SpeechDetector
from vad.segmenter import (
    CommandedEnd,
    EndRule,
    NoSpeech,
    SegmentEnded,
    Segmenter,
    SegmenterState,
    SegmentEvent,
    SegmentPaused,
    SegmentResumed,
    SegmentStarted,
)
from vad.settings import FRAME_SAMPLES, DetectorName, EndpointSettings
from vad.silero import SileroDetector
from vad.webrtc import WebrtcDetector

GATE_MODE = 1
"""The cascade's gate must not miss quiet speech: WebRTC's second most generous mode."""

__all__ = [
    "FRAME_SAMPLES",
    "BadStateError",
    "CascadeDetector",
    "CommandedEnd",
    "DetectorError",
    "DetectorName",
    "EndRule",
    "EndpointSettings",
    "NoSpeech",
    "SegmentEnded",
    "SegmentEvent",
    "SegmentPaused",
    "SegmentResumed",
    "SegmentStarted",
    "Segmenter",
    "SegmenterState",
    "SileroDetector",
    "SpeechDetector",
    "WebrtcDetector",
    "make_detector",
]


def make_detector(name: DetectorName) -> SpeechDetector:
    """A new detector for one stream.

    Raises:
        DetectorError: it cannot be made here.
    """
    match name:
        case "webrtc":
            return WebrtcDetector()
        case "silero":
            return SileroDetector()
        case "cascade":
            return CascadeDetector(gate=WebrtcDetector(GATE_MODE), detector=SileroDetector())
