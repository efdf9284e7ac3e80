"""FreeSWITCH's side, written from the modules' documentation: mod_audio_fork offers its subprotocol and sends a text,
mod_audio_stream offers none; then L16 comes 20 ms at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

FORK = Subprotocol("audio.drachtio.org")


def fork(host: str, query: str = "", **options: Any) -> connect:
    return connect(f"ws://{host}/freeswitch?{query}", subprotocols=[FORK], compression=None, **options)


def stream(host: str, query: str = "", **options: Any) -> connect:
    """With permessage-deflate offered, as its default is."""
    return connect(f"ws://{host}/freeswitch?{query}", **options)


def pieces(*channels: NDArray[np.int16], rate: int = 8000) -> list[bytes]:
    data = np.stack(channels, axis=1).astype("<i2").tobytes()
    size = 2 * len(channels) * rate // 50
    return [data[at : at + size] for at in range(0, len(data), size)]
