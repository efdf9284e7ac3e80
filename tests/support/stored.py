"""Things to put into a session store."""

from __future__ import annotations

from session_store.store import AudioBlock, PcmChunk, SessionRecord, StoredEvent


def record(last_seq: int = 0, *, state: bytes = b"") -> SessionRecord:
    return SessionRecord(session="s", start=b"start", state=state, last_seq=last_seq)


def pcm(first_sample: int, end_sample: int) -> bytes:
    """Audio in which each sample's value is its position."""
    return b"".join(sample.to_bytes(2, "little") for sample in range(first_sample, end_sample))


def block(first_sample: int, end_sample: int, needed_from: int = 0, channels: int = 1) -> AudioBlock:
    return AudioBlock(first_sample, (pcm(first_sample, end_sample),) * channels, needed_from)


def piece(first_sample: int, end_sample: int) -> PcmChunk:
    return PcmChunk(first_sample, pcm(first_sample, end_sample))


def events(first_seq: int, last_seq: int, data: bytes = b"x") -> list[StoredEvent]:
    return [StoredEvent(seq, data) for seq in range(first_seq, last_seq + 1)]
