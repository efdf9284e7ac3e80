"""Names of everything that lies in a Redis.

The braces are a hash tag: in a cluster all keys of a session share one slot, so that one script may touch them all.
"""

from __future__ import annotations

from urllib.parse import quote

PREFIX = "tympan:"
LAYOUT = 1
"""Rises where an older version could not live beside what a newer one writes."""


def session_key(session: str) -> str:
    """A hash: token, owner, lease, record, version, seq, log_bytes, and start and end of each channel's tail."""
    return f"{PREFIX}{_tag(session)}:session"


def events_key(session: str) -> str:
    """A stream: an event's id is its number."""
    return f"{PREFIX}{_tag(session)}:events"


def pcm_key(session: str, channel: int) -> str:
    """A stream: a piece's id is the sample behind its last one."""
    return f"{PREFIX}{_tag(session)}:pcm:{channel}"


def all_keys(session: str, channels: int) -> list[str]:
    """In the order in which the scripts take them: the session, its events, a tail per channel."""
    return [session_key(session), events_key(session), *(pcm_key(session, channel) for channel in range(channels))]


def _tag(session: str) -> str:
    # A tag must not be empty, and whatever stands in a name, braces above all, must not end it.
    return f"{{{LAYOUT}:{quote(session, safe='')}}}"
