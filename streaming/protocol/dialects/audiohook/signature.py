"""AudioHook's HTTP message signature: hmac-sha256 over the request's target, host and AudioHook headers.

https://developer.genesys.cloud/devapps/audiohook/security, a profile of draft-ietf-httpbis-message-signatures. Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections import OrderedDict
from typing import Final
from urllib.parse import urlsplit

from streaming.protocol.dialect import Handshake
from streaming.protocol.errors import ProtocolError

REQUIRED: Final = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)
MAX_AGE_S: Final = 10
MIN_NONCE_CHARS: Final = 22
MAX_NONCES: Final = 100_000
_INPUT: Final = re.compile(r'([\w*-]+)=(\(((?:"[^"]*" ?)*)\)((?:;[a-z]+=(?:"[^"]*"|\d+))*))')
_PARAMETER: Final = re.compile(r';([a-z]+)=(?:"([^"]*)"|(\d+))')


class Verifier:
    """Takes each signature once."""

    def __init__(self, secret: str, public_url: str) -> None:
        """
        Args:
            secret: in base64.
            public_url: by which requests came, without the path; empty: as their `Host` says.
        """
        self._key = base64.b64decode(secret)
        self._authority = urlsplit(public_url).netloc
        self._nonces: OrderedDict[str, float] = OrderedDict()

    def verify(self, handshake: Handshake) -> None:
        """Raises ProtocolError (`unauthorized`)."""
        headers = handshake.headers
        found = _INPUT.fullmatch(headers.get("signature-input", ""))
        if found is None:
            raise _wrong("it is missing, or of another form")
        label, signed, names, rest = found.groups()
        components = [name.strip('"') for name in names.split()]
        if not set(REQUIRED) <= set(components):
            raise _wrong("it does not cover all that it must")
        parameters = {name: text or number for name, text, number in _PARAMETER.findall(rest)}
        lines = [f'"{name}": {self._component(name, handshake)}' for name in components]
        base = "\n".join([*lines, f'"@signature-params": {signed}'])
        expected = hmac.new(self._key, base.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        if not hmac.compare_digest(expected, _signature(label, headers.get("signature", ""))):
            raise _wrong("it was made with another secret, or of another request")
        if parameters.get("alg", "hmac-sha256") != "hmac-sha256" or parameters.get("keyid") != headers.get("x-api-key"):
            raise _wrong("`alg` and `keyid` must be hmac-sha256 and the API key")
        self._check_time(parameters, handshake.unix_s)

    def _component(self, name: str, handshake: Handshake) -> str:
        if name == "@request-target":
            return handshake.target
        if name == "@authority":
            return (self._authority or handshake.headers.get("host", "")).lower()
        if name.startswith("@") or name not in handshake.headers:
            raise _wrong("it covers something that is not there")
        return handshake.headers[name].strip()

    def _check_time(self, parameters: dict[str, str], unix_s: float) -> None:
        nonce, created, expires = (parameters.get(name, "") for name in ("nonce", "created", "expires"))
        if not (created.isdigit() and abs(unix_s - int(created)) <= MAX_AGE_S):
            raise _wrong(f"it is older than {MAX_AGE_S} s")
        if expires.isdigit() and int(expires) < unix_s:
            raise _wrong("it has expired")
        if len(nonce) < MIN_NONCE_CHARS:
            raise _wrong("its nonce is too short")
        while self._nonces and (len(self._nonces) >= MAX_NONCES or next(iter(self._nonces.values())) < unix_s):
            self._nonces.popitem(last=False)
        if nonce in self._nonces:
            raise _wrong("it was used before")
        self._nonces[nonce] = unix_s + 2 * MAX_AGE_S


def _signature(label: str, header: str) -> bytes:
    found = re.fullmatch(rf"{re.escape(label)}=:([A-Za-z0-9+/=]*):", header.strip())
    try:
        return base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        return b""


def _wrong(why: str) -> ProtocolError:
    return ProtocolError("unauthorized", f"signature: {why}")
