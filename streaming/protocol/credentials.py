"""Where clients put their API keys, and which keys are good. Pure.

Keys are kept as SHA-256 only, which is enough for keys as long and random as they should be (`openssl rand -hex 32`):
there is nothing to be guessed. Every key is compared with every hash in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

SCHEMES: Final = ("token", "bearer")
"""Of `Authorization`; without one the whole value is the key (AssemblyAI)."""
QUERY_NAMES: Final = ("token", "access_token", "api_key")
HEADER_NAMES: Final = ("x-api-key", "api-key")
MARKS: Final = ("token", "bearer", "realtime", "audio.drachtio.org")
"""Subprotocols that say which kind of client this is, so that they may be echoed. Behind `token` and `bearer` comes
the key as a subprotocol of its own, which must not be."""
KEY_PREFIXES: Final = ("openai-insecure-api-key.", "tympan.key.")
HASH_PREFIX: Final = "sha256:"
MAX_KEY_CHARS: Final = 512
MIN_KEY_CHARS: Final = 16
"""Anything shorter could be found from its hash."""
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def offered_keys(
    headers: Mapping[str, str], query: Iterable[tuple[str, str]], subprotocols: Sequence[str]
) -> tuple[str, ...]:
    """All that a request shows as a key.

    Args:
        headers: names in lower case.
        query: decoded names and values.
        subprotocols: those offered for a WebSocket, in order.
    """
    found: list[str] = []
    if authorization := headers.get("authorization", "").strip():
        scheme, _, key = authorization.partition(" ")
        found.append(key.strip() if scheme.lower() in SCHEMES else authorization)
    found += [headers[name].strip() for name in HEADER_NAMES if name in headers]
    found += [value for name, value in query if name in QUERY_NAMES]
    for place, name in enumerate(subprotocols):
        if name.lower() in SCHEMES and place + 1 < len(subprotocols):
            found.append(subprotocols[place + 1])
        found += [name.removeprefix(prefix) for prefix in KEY_PREFIXES if name.startswith(prefix)]
    return tuple(dict.fromkeys(key for key in found if key and len(key) <= MAX_KEY_CHARS))


def echoed_subprotocol(offered: Sequence[str]) -> str | None:
    """What to answer a client that offers subprotocols only to show its key: `ws` and browsers want one of them back.

    Never the key, whatever stands where.
    """
    return next((name for name in offered if name.lower() in MARKS), None)


class Keyring:
    """The keys that let in. An empty one lets everybody in."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """
        Args:
            entries: keys, or `sha256:` with the hash of one in hex.

        Raises:
            ValueError: an entry is too short to be a key, or no hash.
        """
        self._digests = tuple(dict.fromkeys(_digest_of(entry) for entry in entries))

    @property
    def open(self) -> bool:
        return not self._digests

    def allows(self, keys: Iterable[str]) -> bool:
        """One of the keys is good, or none is needed."""
        if self.open:
            return True
        good = False
        for key in keys:
            digest = _digest(key)
            for known in self._digests:
                good |= hmac.compare_digest(digest, known)
        return good


def read_entries(text: str) -> list[str]:
    """The entries of a keys file: one in a line; what follows a `#` or a blank is a comment."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [words[0] for words in lines if words]


def _digest_of(entry: str) -> bytes:
    if entry.startswith(HASH_PREFIX):
        digest = entry.removeprefix(HASH_PREFIX).lower()
        if not _HASH.fullmatch(digest):
            raise ValueError(f"{HASH_PREFIX} is followed by 64 hexadecimal digits")
        return bytes.fromhex(digest)
    if not MIN_KEY_CHARS <= len(entry) <= MAX_KEY_CHARS or not entry.isascii() or not entry.isprintable():
        raise ValueError(f"a key has from {MIN_KEY_CHARS} to {MAX_KEY_CHARS} printable ASCII characters")
    return _digest(entry)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
