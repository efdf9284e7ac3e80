"""Routes of telephone lines, and how each shows that it is who it says."""

from __future__ import annotations

from collections.abc import Callable

from streaming.config import TelephonySettings
from streaming.protocol.credentials import Keyring, offered_keys
from streaming.protocol.dialect import Handshake
from streaming.protocol.dialects.audiohook.signature import Verifier
from streaming.protocol.dialects.audiohook.stream import AudioHook
from streaming.protocol.dialects.freeswitch import FreeSwitch
from streaming.protocol.dialects.plain import refusal
from streaming.protocol.dialects.twilio.signature import verify
from streaming.protocol.dialects.twilio.stream import Twilio
from streaming.protocol.errors import ProtocolError
from streaming.transport.dialects import DialectRoute


def telephony_routes(settings: TelephonySettings, keyring: Keyring) -> list[DialectRoute]:
    return [
        DialectRoute("/twilio", _twilio(settings, keyring), refusal, guarded=False, call=True),
        DialectRoute("/audiohook", _audiohook(settings), refusal, call=True),
        DialectRoute("/freeswitch", FreeSwitch, refusal, call=True),
    ]


def _twilio(settings: TelephonySettings, keyring: Keyring) -> Callable[[Handshake], Twilio]:
    """Let in are: who signs, where there is a secret; who shows a key, where there are keys, in the request or as a
    parameter of the stream; everybody, where there is neither."""

    def opened(handshake: Handshake) -> Twilio:
        signed = verify(handshake, settings.twilio_secret, settings.public_url) if settings.twilio_secret else None
        if signed is False:
            raise ProtocolError("unauthorized", "X-Twilio-Signature is not of this address and token")
        shown = offered_keys(handshake.headers, handshake.query, handshake.subprotocols)
        if signed or (not keyring.open and keyring.allows(shown)):
            return Twilio(handshake)
        if not keyring.open:
            return Twilio(handshake, lambda key: keyring.allows([key]))
        if settings.twilio_secret:
            raise ProtocolError("unauthorized", "X-Twilio-Signature is missing")
        return Twilio(handshake)

    return opened


def _audiohook(settings: TelephonySettings) -> Callable[[Handshake], AudioHook]:
    """Its key is in `X-API-KEY`; where there is a secret it must have signed as well."""
    verifier = Verifier(settings.audiohook_secret, settings.public_url) if settings.audiohook_secret else None

    def opened(handshake: Handshake) -> AudioHook:
        if verifier is not None:
            verifier.verify(handshake)
        return AudioHook(handshake)

    return opened
