"""Telephone tones: keys (DTMF), call progress, special information tones, fax and beeps.

Everything here is pure numpy, and takes one channel at 16 kHz: make a `ToneDetector` and feed it.
"""

from inference.tagging.tones.detector import BadStateError, ToneDetector, ToneState
from inference.tagging.tones.events import Phase, ToneEvent
from inference.tagging.tones.settings import ToneSettings

__all__ = ["BadStateError", "Phase", "ToneDetector", "ToneEvent", "ToneSettings", "ToneState"]
