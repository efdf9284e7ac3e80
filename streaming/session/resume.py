"""A session on its way back from the store: whose it is, and all that a core is restored from.

Order of calls: `read_start`, which looks at the token and changes nothing; end the session's live connection if this
gateway has it; `take_over`, after which nobody else can write; `restore_core` on what that gives.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from session_store.store import (
    BadRecord,
    EventsTrimmed,
    Lease,
    NoSession,
    SessionRecord,
    SessionStore,
    StoredEvent,
    StoreError,
)
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import Resume, ServerMessage, Start
from streaming.protocol.watching import decode_said, decode_start

RETRY_AFTER_MS = 500


@dataclass(frozen=True, slots=True)
class StoredSession:
    lease: Lease
    record: SessionRecord
    version: int
    start: Start
    first_sample: int
    """Of the tails, at 16 kHz."""
    tails: tuple[bytes, ...]
    said_since: tuple[ServerMessage, ...]
    """The log behind the snapshot."""
    not_heard: tuple[ServerMessage, ...]
    """The log behind what the client has."""


def hash_token(token: str) -> bytes:
    """What is stored of a resume token; the token has 128 random bits, so nothing slower is needed."""
    return hashlib.sha256(token.encode()).digest()


async def read_start(store: SessionStore, resume: Resume) -> Start:
    """What the session began with. Raises ProtocolError: `no_session`, which does not say why; `store_unavailable`."""
    try:
        found = await store.get(resume.session)
    except BadRecord:
        raise _no_session() from None
    except StoreError as error:
        raise _unavailable(error) from None
    known = found.record.token_hash if found else b""
    if not hmac.compare_digest(known, hash_token(resume.token)) or found is None:
        raise _no_session()
    try:
        return decode_start(found.record.start)
    except msgspec.DecodeError:
        raise _no_session() from None


async def take_over(store: SessionStore, resume: Resume, owner: str, lease_s: float) -> StoredSession:
    """Raises ProtocolError: `no_session`, `store_unavailable`."""
    try:
        lease = await store.acquire(resume.session, owner, lease_s, take_over=True)
        found = await store.get(resume.session)
        if found is None:
            await store.delete(lease)  # it expired a moment ago
            raise _no_session()
        start = decode_start(found.record.start)
        channels = [await store.read_pcm(resume.session, channel) for channel in range(start.audio.channels)]
        return StoredSession(
            lease=lease,
            record=found.record,
            version=found.version,
            start=start,
            first_sample=channels[0].first_sample,
            tails=tuple(channel.pcm for channel in channels),
            said_since=_decoded(await _events(store, resume.session, found.record.last_seq)),
            not_heard=_decoded(await _events(store, resume.session, resume.last_seq)),
        )
    except (NoSession, BadRecord, msgspec.DecodeError):
        raise _no_session() from None
    except StoreError as error:
        raise _unavailable(error) from None


async def _events(store: SessionStore, session: str, after_seq: int) -> tuple[StoredEvent, ...]:
    """What is left of the log behind a number."""
    try:
        return await store.read_events(session, after_seq)
    except EventsTrimmed as trimmed:
        return await store.read_events(session, trimmed.first_seq - 1)


def _decoded(events: Sequence[StoredEvent]) -> tuple[ServerMessage, ...]:
    messages = (decode_said(event.data) for event in events)
    return tuple(message for message in messages if message is not None)


def _no_session() -> ProtocolError:
    return ProtocolError("no_session", "there is no such session to be resumed with this token")


def _unavailable(error: StoreError) -> ProtocolError:
    return ProtocolError("store_unavailable", str(error), retry_after_ms=RETRY_AFTER_MS)
