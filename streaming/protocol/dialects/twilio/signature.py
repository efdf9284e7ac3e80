"""`X-Twilio-Signature`: base64 of an HMAC over the address as the caller wrote it, and over its parameters, of which a
WebSocket has none (https://www.twilio.com/docs/usage/security). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from streaming.protocol.dialect import Handshake

HEADER: Final = "x-twilio-signature"
SETTINGS_HEADER: Final = "x-twilio-webhooks-signature-settings"
"""`key=ID,algorithm=HMAC_SHA256`: signed with another secret than the account's token."""
_DIGESTS: Final = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_PORTS: Final = {"wss": (443, 80), "ws": (80,)}
"""Twilio's own libraries take 80 for `wss`."""


def verify(handshake: Handshake, secret: str, public_url: str) -> bool | None:
    """Whether a request for a connection is signed with the secret; None: it is not signed at all.

    Args:
        public_url: by which it came, without the path; empty: by its `Host`, with and without TLS before this server.
    """
    signature = handshake.headers.get(HEADER)
    if signature is None:
        return None
    settings = handshake.headers.get(SETTINGS_HEADER, "")
    host = handshake.headers.get("host", "")
    bases = [public_url.rstrip("/")] if public_url else [f"wss://{host}", f"ws://{host}"]
    return any(signed(secret, base + (handshake.target or handshake.path), signature, settings) for base in bases)


def signed(secret: str, url: str, signature: str, settings: str = "") -> bool:
    """Whether somebody who has the secret signed the address.

    It is tried with and without its port and a slash at its end: which of them Twilio signs differs.

    Args:
        signature: the header's value, as `settings`.
    """
    digest = _DIGESTS.get(_algorithm(settings))
    if digest is None:
        return False
    good = False
    for variant in _variants(url):
        expected = sign(secret, variant, digest)
        good |= hmac.compare_digest(expected.encode(), signature.strip().encode("utf-8", "surrogatepass"))
    return good


def sign(secret: str, url: str, digest: str = "sha1") -> str:
    """The header's value. `digest`: a name of hashlib."""
    mac = hmac.new(secret.encode(), url.encode("utf-8", "surrogatepass"), getattr(hashlib, digest))
    return base64.b64encode(mac.digest()).decode()


def _algorithm(settings: str) -> str:
    for part in settings.split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return value.strip().upper()
    return "HMAC_SHA1"


def _variants(url: str) -> Iterator[str]:
    split = urlsplit(url)
    try:
        named = split.port
    except ValueError:
        named = None
    host = split.netloc.rpartition(":")[0] if named is not None else split.netloc
    ports = [named] if named is not None else []
    ports += [port for port in _PORTS.get(split.scheme, ()) if port not in ports]
    paths = dict.fromkeys((split.path, split.path.rstrip("/"), f"{split.path.rstrip('/')}/"))
    for path in paths:
        for netloc in (host, *(f"{host}:{port}" for port in ports)):
            yield split._replace(netloc=netloc, path=path).geturl()
