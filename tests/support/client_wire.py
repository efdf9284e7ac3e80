"""Both directions of the wire for the client's protocol core, in the server's records."""

from __future__ import annotations

import msgspec
from tympan_client.events import Event
from tympan_client.protocol import ClientProtocol

from streaming.protocol import messages
from streaming.protocol.codec import decode_client, encode_server

READY = messages.Ready(
    session="s",
    resume_token="t",
    model=messages.ModelInfo(name="tiny.en", device="cpu", dtype="float32"),
    audio=messages.AudioFormat(),
    interim="stable",
    endpointing=messages.Endpointing(),
    max_message_bytes=1 << 20,
)


def resumed(next_sample: int, commands: int) -> messages.Ready:
    return msgspec.structs.replace(READY, resumed=True, next_sample=next_sample, commands=commands)


def hear(protocol: ClientProtocol, message: messages.ServerMessage) -> Event | None:
    return protocol.receive(encode_server(protocol.codec, message))


def said(protocol: ClientProtocol) -> list[messages.ClientMessage | messages.RawAudio]:
    """What the protocol sends now."""
    return [decode_client(protocol.codec, payload) for payload in iter(protocol.next_payload, None)]
