"""Telephone tones: keys (DTMF), call progress, special information tones, fax and beeps.

Everything here is pure numpy, and takes one channel at 16 kHz: make a `ToneDetector` and feed it.

What the detectors cannot tell apart:

- A single short note of music, a bird or a toy may be a `beep`; nothing but the tone itself is looked at.
- A beep of 1100 Hz as long as CNG (0.41 to 0.59 s) is `fax_cng`, and one of 400, 425 or 440 Hz as long as a ring of
  these frequencies (1, 1 and 1.5 s) is `ringback`.
- A stutter dial tone is one `dial_tone` where its gaps are below 0.3 s, and `tone` where its bursts are below 0.5 s.
- A tone that may have begun before the first sample is named by its next whole burst.
- Tones under speech or music of like level are not there: a digit needs three quarters of the energy of its 25 ms,
  another tone seven eighths of its 100 ms.
"""

from inference.tagging.tones.detector import BadStateError, ToneDetector, ToneState
from inference.tagging.tones.events import Phase, ToneEvent
from inference.tagging.tones.settings import ToneSettings

__all__ = ["BadStateError", "Phase", "ToneDetector", "ToneEvent", "ToneSettings", "ToneState"]
