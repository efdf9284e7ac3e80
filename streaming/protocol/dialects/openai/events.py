"""The server's events of a realtime session: their ids, the order of items, what was said of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from streaming.protocol.dialect import Payload
from streaming.protocol.dialects.openai.errors import error_object
from streaming.protocol.dialects.payloads import json_text

_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"


@dataclass(slots=True)
class Item:
    id: str
    said: str = ""
    """What its deltas add up to."""


class Events:
    def __init__(self, name: str, *, beta: bool) -> None:
        """`name`: of the session, in all ids."""
        self.beta = beta
        self._name = name
        self._last_event = 0
        self._last_item = 0
        self._previous: str | None = None
        """The item that was committed last."""

    def new_item(self) -> Item:
        self._last_item += 1
        return Item(f"item_{self._name}{self._last_item:06}")

    def committed(self, item: Item) -> list[Payload]:
        previous, self._previous = self._previous, item.id
        ids = {"previous_item_id": previous, "item_id": item.id}
        added = "conversation.item.created" if self.beta else "conversation.item.added"
        return [
            self.event("input_audio_buffer.committed", ids),
            self.event(added, {"previous_item_id": previous, "item": _shown(item.id, None)}),
        ]

    def delta(self, item: Item, text: str) -> list[Payload]:
        """What is new of a text. What was said cannot be taken back: where the text begins otherwise there is none."""
        if len(text) <= len(item.said) or not text.startswith(item.said):
            return []
        new, item.said = text[len(item.said) :], text
        body = {"item_id": item.id, "content_index": 0, "delta": new, "logprobs": None}
        return [self.event(f"{_TRANSCRIPTION}.delta", body)]

    def completed(self, item: Item, text: str, seconds: float, language: str | None) -> list[Payload]:
        body: dict[str, object] = {
            "item_id": item.id,
            "content_index": 0,
            "transcript": text,
            "logprobs": None,
            "usage": {"type": "duration", "seconds": seconds},
        }
        if language is not None:
            body["languages"] = [{"code": language}]
        said = [self.event(f"{_TRANSCRIPTION}.completed", body)]
        if not self.beta:
            said.append(self.event("conversation.item.done", {"item": _shown(item.id, text)}))
        return said

    def failed(self, item: Item) -> Payload:
        error = error_object("transcription_error", "audio_unintelligible", "the audio could not be decoded")
        return self.event(f"{_TRANSCRIPTION}.failed", {"item_id": item.id, "content_index": 0, "error": error})

    def event(self, kind: str, body: dict[str, Any]) -> Payload:
        self._last_event += 1
        return json_text({"type": kind, "event_id": f"event_{self._name}{self._last_event:06}", **body})


def _shown(item_id: str, transcript: str | None) -> dict[str, object]:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": transcript}],
    }
