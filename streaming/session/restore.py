"""A session goes on from its snapshot, the audio kept with it, and its log. Pure.

The restored core is then told to `resume`, and the client sends again what `ready` asks for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.pool.interface import EngineInfo
from streaming.audio.ring import RingFullError
from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import ServerMessage, Start
from streaming.session.core import DetectorFactory, SessionCore
from streaming.session.said import SaidBefore
from streaming.session.settings import SessionSettings
from streaming.session.snapshot import BadSnapshotError, decode


def restore_core(
    session: str,
    start: Start,
    snapshot: bytes,
    first_sample: int,
    tails: Sequence[bytes],
    said: Sequence[ServerMessage],
    make_detector: DetectorFactory,
    settings: SessionSettings | None = None,
    model: EngineInfo | None = None,
) -> SessionCore:
    """A core that stands where the snapshot was taken.

    Args:
        start: the session's own, without `resume`.
        snapshot: `state` of a StoreAudio; empty where none was stored: the session begins anew, but for its log.
        first_sample: of the tails, at 16 kHz.
        tails: mono s16le at 16 kHz, one per channel, that end where the snapshot was taken.
        said: the session's log behind the snapshot's `last_seq`, in order.
        model: as of SessionCore.

    Raises:
        BadSnapshotError: it is damaged, of another version, or not of this session's audio.
    """
    if not snapshot:
        return SessionCore(session, start, make_detector, settings, SaidBefore(said), model)
    state = decode(snapshot)
    core = SessionCore(session, start, make_detector, settings, SaidBefore([*state.said, *said]), model)
    try:
        core.restore(state, snapshot, first_sample, [_samples(tail) for tail in tails])
    except (ValueError, ProtocolError, RingFullError) as error:
        raise BadSnapshotError(str(error)) from None
    return core


def _samples(tail: bytes) -> NDArray[np.int16]:
    return np.frombuffer(tail, "<i2").astype(np.int16, copy=False)
