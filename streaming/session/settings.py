"""Limits and thresholds of one session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from streaming.audio.clock import SAMPLE_RATE
from streaming.protocol.messages import RedactKind


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """All of one server's sessions share it. Raises ValueError where two limits contradict each other."""

    high_water_samples: int = 60 * SAMPLE_RATE
    """No more audio is taken while a channel's oldest utterance without a final began this long ago, at 16 kHz ..."""
    low_water_samples: int = 45 * SAMPLE_RATE
    """... until it is down to this; above 29 s, which an open utterance alone may have."""
    max_waiting_finals: int = 32
    """No more audio is taken either while a channel waits for this many finals, until half of them are done."""
    max_waiting_markers: int = 1024
    outbox_messages: int = 512
    """Messages kept for a client that does not read; one more and it is disconnected."""
    interim_deadline_s: float = 0.5
    final_deadline_s: float = 0.25
    answer_deadline_s: float = 10.0
    """Beside interims, an answer to a further task has its turn when it is due before them."""
    slow_interims_after_s: float = 1.5
    """An answer that takes longer than this halves the rate of interims ..."""
    finals_only_after_s: float = 3.0
    """... and longer than this ends them, until answers have been faster than half of it for `recover_after_s`."""
    recover_after_s: float = 3.0
    chat_audio_s: float = 120.0
    """Audio of each channel that is kept for questions, where the model can be asked; 0: none."""
    interim_blocks: int = 1
    """Half seconds of audio from one interim to the next while load is normal; twice as many at `slow_interims`."""
    early_finals: bool = True
    """Finals are worked out during the silence before their endpoint; costs a final's pass where speech goes on."""
    agreement: int = 2
    """Successive hypotheses that must agree on a word before it is stable."""
    hold_back_samples: int = 0
    """A word that ends nearer than this to the newest decoded sample is not stable yet."""
    min_confidence: float = 0.65
    """A word with less is stable only once `patient_agreement` hypotheses agree on it."""
    patient_agreement: int = 6
    unsure_confidence: float = 0.45
    """A word with less than this is not stable before the final, nor are those after it."""
    redact: tuple[str, ...] = ()
    """Numbers that no session may say: card, dob, phone, digits, or all; clients may add to them."""

    def __post_init__(self) -> None:
        if unknown := set(self.redact) - {"all", *get_args(RedactKind)}:
            known = ", ".join((*get_args(RedactKind), "all"))
            raise ValueError(f"redact knows {known}, not {', '.join(sorted(unknown))}")
        if self.patient_agreement < self.agreement:
            raise ValueError("patient_agreement must be at least agreement")
        if not 0 <= self.unsure_confidence <= self.min_confidence <= 1:
            raise ValueError("unsure_confidence must be at least 0 and at most min_confidence, which is at most 1")
        if not 30 * SAMPLE_RATE <= self.low_water_samples < self.high_water_samples:
            raise ValueError("low_water_samples must be at least 30 s and below high_water_samples")
        if not 0 <= self.chat_audio_s <= 3600:
            raise ValueError("chat_audio_s must be from 0 to 3600")
        if self.answer_deadline_s <= 0:
            raise ValueError("answer_deadline_s must be above 0")
        if self.interim_blocks < 1:
            raise ValueError("interim_blocks must be at least 1")
        if not 0 < self.slow_interims_after_s < self.finals_only_after_s:
            raise ValueError("slow_interims_after_s must be above 0 and below finals_only_after_s")
        if min(self.max_waiting_finals, self.max_waiting_markers, self.outbox_messages, self.agreement) < 2:
            raise ValueError("max_waiting_finals, max_waiting_markers, outbox_messages and agreement start at 2")
