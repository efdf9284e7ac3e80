"""A word as the session knows it: what the stabiliser makes of the engine's hypotheses."""

from __future__ import annotations

import msgspec

from streaming.protocol.messages import WordState


class TranscriptWord(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Positions are samples at 16 kHz on the channel's clock."""

    id: int
    text: str
    start_sample: int
    end_sample: int
    confidence: float
    state: WordState
    tokens: tuple[int, ...]
    glued: bool = False
