"""Genesys' side of AudioHook, written from its documentation (https://developer.genesys.cloud/devapps/audiohook)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.protocol.dialects.audiohook.signature import REQUIRED
from tests.support.callers import mulaw

SESSION, CONVERSATION = "30b0e395-84d3-4570-ac13-9a62d8f514c0", "090eaa2f-72fa-480a-83e0-8667ff89c0ec"
ORGANIZATION, NOBODY = "d7934305-0972-4844-938e-9060eef73d05", "00000000-0000-0000-0000-000000000000"
API_KEY, SECRET = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh", "TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU="
RATE = 8000
BOTH = ("external", "internal")


def media(*channels: str, form: str = "PCMU") -> dict[str, Any]:
    return {"type": "audio", "format": form, "channels": list(channels), "rate": RATE}


class AudioHookClient:
    """Makes messages, and checks the numbers of those that come."""

    def __init__(self) -> None:
        self.samples = 0
        self.heard: list[dict[str, Any]] = []
        self._seq = 0
        self._server_seq = 0

    def message(self, kind: str, **parameters: Any) -> str:
        self._seq += 1
        envelope = {
            "version": "2",
            "id": SESSION,
            "type": kind,
            "seq": self._seq,
            "serverseq": self._server_seq,
            "position": f"PT{self.samples / RATE}S",
        }
        return json.dumps({**envelope, "parameters": parameters})

    def open(self, *offered: dict[str, Any], conversation: str = CONVERSATION, **more: Any) -> str:
        participant = {"id": "883efee8", "ani": "+4915112345", "aniName": "Ann", "dnis": "+493012345"}
        if conversation == NOBODY:
            participant = {"id": NOBODY, "ani": "", "aniName": "", "dnis": ""}
        chosen = offered or (media(*BOTH), media("external"), media("internal"))
        parameters = {"organizationId": ORGANIZATION, "conversationId": conversation, "participant": participant}
        return self.message("open", **parameters, media=list(chosen), **more)

    def audio(self, *sounds: NDArray[np.int16], piece: int = 1600) -> list[bytes]:
        """int16 (n,) at 8 kHz of each channel as binary messages."""
        self.samples += len(sounds[0])
        whole = np.frombuffer(b"".join(map(mulaw, sounds)), np.uint8).reshape(len(sounds), -1).T.tobytes()
        return [whole[at : at + piece * len(sounds)] for at in range(0, len(whole), piece * len(sounds))]

    def skip(self, kind: str, seconds: float) -> str:
        """`resumed` or `discarded` after so many seconds without audio."""
        start, self.samples = self.samples / RATE, self.samples + round(seconds * RATE)
        return self.message(kind, start=f"PT{start}S", discarded=f"PT{seconds}S")

    def hear(self, *payloads: Any) -> list[dict[str, Any]]:
        """The messages of the server."""
        for payload in payloads:
            message = json.loads(payload)
            assert (message["version"], message["id"]) == ("2", SESSION)
            assert message["seq"] == self._server_seq + 1
            assert message["clientseq"] <= self._seq
            self._server_seq = message["seq"]
            self.heard.append(message)
        return self.heard

    def entities(self) -> list[dict[str, Any]]:
        events = [message for message in self.heard if message["type"] == "event"]
        return [entity["data"] for event in events for entity in event["parameters"]["entities"]]


def signed_headers(
    target: str,
    authority: str,
    created: int,
    *,
    secret: str = SECRET,
    nonce: str = "VGhpc0lzQVVuaXF1ZU5vbmNl",
    **other: str,
) -> dict[str, str]:
    """All headers of a request. `other`: parameters of the signature to put in place of the right ones."""
    values = {
        "@request-target": target,
        "@authority": authority,
        "audiohook-organization-id": ORGANIZATION,
        "audiohook-session-id": SESSION,
        "audiohook-correlation-id": "e160e428-53e2-487c-977d-96989bf5c99d",
        "x-api-key": API_KEY,
    }
    parameters = {"keyid": API_KEY, "nonce": nonce, "alg": "hmac-sha256"} | other
    names = " ".join(f'"{name}"' for name in REQUIRED)
    told = f"({names})" + "".join(f';{name}="{value}"' for name, value in parameters.items()) + f";created={created}"
    base = "\n".join([*(f'"{name}": {values[name]}' for name in REQUIRED), f'"@signature-params": {told}'])
    mac = hmac.new(base64.b64decode(secret), base.encode(), hashlib.sha256).digest()
    headers = {name: value for name, value in values.items() if not name.startswith("@")}
    return headers | {"signature-input": f"sig1={told}", "signature": f"sig1=:{base64.b64encode(mac).decode()}:"}
