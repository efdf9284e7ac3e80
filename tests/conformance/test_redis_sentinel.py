"""A Redis that is found by asking a sentinel."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from session_store.connect import open_store
from session_store.store import StoreUnavailable
from tests.support.polling import eventually
from tests.support.redis_server import RedisServer, free_port, redis_binary
from tests.support.stored import block, events, piece, record


async def test_a_sentinel_leads_to_the_server(own_redis_server: RedisServer, tmp_path: Path) -> None:
    port = free_port()
    settings = tmp_path / "sentinel.conf"
    settings.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {own_redis_server.port} 1\n")
    store = open_store("redis", f"redis+sentinel://127.0.0.1:{port}/main", timeout_s=2.0)
    unknown = open_store("redis", f"redis+sentinel://127.0.0.1:{port}/nobody", timeout_s=2.0)
    with pytest.raises(StoreUnavailable):
        await store.get("s")
    process = await asyncio.create_subprocess_exec(
        redis_binary(), str(settings), "--sentinel", stdout=asyncio.subprocess.DEVNULL
    )
    leases = []

    async def acquired() -> bool:
        with contextlib.suppress(StoreUnavailable):
            leases.append(await store.acquire("s", "gateway-1", 60.0))
        return bool(leases)

    try:
        await eventually(acquired)
        (lease,) = leases
        assert await store.commit(lease, record(), expected_version=0, audio=block(0, 10)) == 1
        assert await store.read_pcm("s", 0) == piece(0, 10)
        waiting = asyncio.create_task(store.wait_events("s", 0, 10.0))
        await asyncio.sleep(0.05)
        await store.append_events(lease, events(1, 1))
        assert await waiting == tuple(events(1, 1))
        with pytest.raises(StoreUnavailable):
            await unknown.get("s")
    finally:
        process.kill()
        await process.wait()
        await store.aclose()
        await unknown.aclose()
