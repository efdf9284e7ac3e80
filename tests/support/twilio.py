"""Twilio's side of a media stream, written from its documentation (https://www.twilio.com/docs/voice/media-streams):
all numbers are texts, media of both tracks come by turns, 20 ms at a time, with one sequence of numbers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.callers import mulaw

RATE = 8000
PIECE_MS = 20
CALL, STREAM, ACCOUNT = f"CA{'0' * 32}", f"MZ{'1' * 32}", f"AC{'2' * 32}"

Keep = Callable[[str, int], bool]


class TwilioStream:
    """One stream's messages as JSON texts; `media` takes int16 at 8 kHz for each track."""

    def __init__(self, *tracks: str, call: str = CALL, parameters: dict[str, str] | None = None) -> None:
        self.tracks = tracks or ("inbound",)
        self._call = call
        self._parameters = parameters or {}
        self._sequence = 0
        self._chunks = dict.fromkeys(self.tracks, 0)

    def begin(self) -> list[str]:
        connected = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        start = {
            "accountSid": ACCOUNT,
            "streamSid": STREAM,
            "callSid": self._call,
            "tracks": list(self.tracks),
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1},
            "customParameters": self._parameters,
        }
        return [connected, self._event("start", start=start)]

    def media(
        self,
        *sounds: NDArray[np.int16],
        piece_ms: Sequence[int] = (PIECE_MS,),
        first_ms: int = 0,
        keep: Keep = lambda track, ms: True,
    ) -> Iterator[str]:
        """
        Args:
            sounds: int16 (n,) at 8 kHz of each track, from `first_ms` on.
            piece_ms: of each piece, over and over.
            keep: whether the network delivers a track's piece that begins at a time.
        """
        at_ms, turn = 0, 0
        while at_ms * RATE // 1000 < max(map(len, sounds)):
            end_ms = at_ms + piece_ms[turn % len(piece_ms)]
            for place, sound in enumerate(sounds):
                samples = sound[at_ms * RATE // 1000 : end_ms * RATE // 1000]
                track, ms = self.tracks[place], first_ms + at_ms
                self._chunks[track] += 1
                if len(samples) and keep(track, ms):
                    yield self.piece(track, self._chunks[track], ms, mulaw(samples))
            at_ms, turn = end_ms, turn + 1

    def piece(self, track: str, chunk: int, timestamp_ms: int, data: bytes) -> str:
        payload = base64.b64encode(data).decode()
        media = {"track": track, "chunk": str(chunk), "timestamp": str(timestamp_ms), "payload": payload}
        return self._event("media", media=media)

    def dtmf(self, digit: str, track: str = "inbound_track") -> str:
        return self._event("dtmf", dtmf={"track": track, "digit": digit})

    def mark(self, name: str) -> str:
        return self._event("mark", mark={"name": name})

    def stop(self) -> str:
        return self._event("stop", stop={"accountSid": ACCOUNT, "callSid": self._call})

    def _event(self, event: str, **content: Any) -> str:
        self._sequence += 1
        message = {"event": event, "sequenceNumber": str(self._sequence), **content, "streamSid": STREAM}
        return json.dumps(message)


def telnyx(message: str) -> str:
    """The same message as Telnyx writes it."""
    told = json.loads(message)
    match told["event"]:
        case "connected":
            return json.dumps({"event": "connected", "version": "1.0.0"})
        case "start":
            form = told["start"]["mediaFormat"]
            told["start"] = {
                "user_id": "u",
                "call_control_id": told["start"]["callSid"],
                "client_state": None,
                "media_format": {"encoding": "PCMU", "sample_rate": form["sampleRate"], "channels": 1},
            }
        case "dtmf":
            told["dtmf"].pop("track")
    told["sequence_number"] = told.pop("sequenceNumber")
    told["stream_id"] = told.pop("streamSid")
    return json.dumps(told)
