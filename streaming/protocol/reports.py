"""What is told of a call to others than its line: the bodies of webhook deliveries, and their signature. Pure.

`docs/telephony.md` is its reader's side.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import msgspec

from streaming.protocol.dialect import CallInfo
from streaming.protocol.dialects.utterances import Utterances
from streaming.protocol.messages import (
    Analysis,
    Call,
    CallSummary,
    Error,
    Event,
    Gap,
    MarkerEcho,
    Ready,
    ServerMessage,
    Speech,
    Summary,
    Transcript,
)

SIGNATURE_HEADER: Final = "Tympan-Signature"
DELIVERY_HEADER: Final = "Tympan-Delivery"
"""The same for each try of one body."""

_encode: Final = msgspec.json.Encoder().encode


class Report(msgspec.Struct, frozen=True):
    id: str
    body: bytes


class Reporter:
    """One session of a call. Order of calls: `say` for each message of the session in order; `over` when no more
    comes. Numbers run 1, 2, 3 ... whether a report is delivered or not."""

    def __init__(self, call: CallInfo) -> None:
        self._call = call
        self._session = ""
        self._number = 0
        self._ended = False
        self._utterances = Utterances()

    def say(self, message: ServerMessage) -> Report | None:
        """None: it is nothing that is reported."""
        match message:
            case Ready(session=session, audio=audio):
                self._session = session
                begun = {"stream": self._call.stream, "parameters": self._call.parameters, "audio": audio}
                return self._report("call.started", begun)
            case Speech():
                self._utterances.speech(message)
            case Transcript():
                utterance = self._utterances.transcript(message)
                if message.final:
                    whole = msgspec.structs.replace(message, from_word=0, words=utterance.words)
                    return self._report("transcript", whole)
            case Gap():
                self._utterances.lost(message)
                return self._report("gap", message)
            case Event() | Call() | CallSummary() | Analysis() | MarkerEcho():
                return self._report(_kind(message), message)
            case Error(fatal=False):
                return self._report("error", message)
            case Error():
                return self._end({"error": message, "summary": None})
            case Summary():
                return self._end({"error": None, "summary": message})
        return None

    def over(self) -> Report | None:
        """None: its end was reported already, or it never began."""
        return self._end({"error": None, "summary": None}) if self._session else None

    def _end(self, message: Any) -> Report | None:
        if self._ended:
            return None
        self._ended = True
        return self._report("call.ended", message)

    def _report(self, kind: str, message: Any) -> Report:
        self._number += 1
        body = {
            "type": kind,
            "number": self._number,
            "call": self._call.id,
            "protocol": self._call.protocol,
            "session": self._session,
            "message": message,
        }
        return Report(f"{self._session}-{self._number}", _encode(body))


def _kind(message: ServerMessage) -> str:
    tag = message.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def signature(secret: str, unix_s: int, body: bytes) -> str:
    """The header's value: `t=SECONDS,v1=HEX`, an HMAC-SHA256 of the seconds, a point and the body."""
    mac = hmac.new(secret.encode(), b"%d." % unix_s + body, hashlib.sha256)
    return f"t={unix_s},v1={mac.hexdigest()}"
