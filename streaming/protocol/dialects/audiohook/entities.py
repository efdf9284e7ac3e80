"""What AudioHook's `event` messages carry, and its durations."""

from __future__ import annotations

import re
import uuid
from typing import Final

from streaming.protocol.dialects.utterances import Utterance
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Word
from streaming.protocol.words import plain_text

_DURATION: Final = re.compile(r"PT(\d{1,8}(?:\.\d{1,9})?)S")


def duration(ms: int) -> str:
    """`PT1.5S` for 1500."""
    return f"PT{ms // 1000}.{ms % 1000:03d}".rstrip("0").rstrip(".") + "S"


def seconds(text: str) -> float:
    """Raises ProtocolError (`bad_message`)."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ProtocolError("bad_message", "a duration reads PT1.5S")
    return float(found[1])


def transcript(session: uuid.UUID, utterance: Utterance, *, final: bool, languages: list[str]) -> dict[str, object]:
    """The entity of an utterance as it stands. Its id is the same from the first interim to the final."""
    words = utterance.words
    start_ms = words[0].start_ms if words else utterance.onset_ms
    end_ms = words[-1].end_ms if words else start_ms
    alternative: dict[str, object] = {
        "confidence": round(sum(word.confidence for word in words) / len(words), 4) if words else 0.0,
        "interpretations": [
            {"type": "display", "transcript": plain_text(words), "tokens": [_token(word) for word in words]}
        ],
    }
    if languages:
        alternative["languages"] = languages
    data: dict[str, object] = {
        "id": str(uuid.uuid5(session, str(utterance.id))),
        "channelId": utterance.channel,
        "isFinal": final,
        "offset": duration(start_ms),
        "duration": duration(max(0, end_ms - start_ms)),
        "alternatives": [alternative],
    }
    return {"type": "transcript", "data": data}


def _token(word: Word) -> dict[str, object]:
    return {
        "type": "word",
        "value": word.text,
        "confidence": word.confidence,
        "offset": duration(word.start_ms),
        "duration": duration(max(0, word.end_ms - word.start_ms)),
    }
