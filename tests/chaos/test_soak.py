"""Less than a minute of clients that come and go: nothing stays in Redis, and no descriptor stays open."""

from __future__ import annotations

from benchmarks.accuracy.clips import load_clip, read_manifest
from benchmarks.cluster.deployment import deployment
from benchmarks.cluster.gateway import SCRIPTED
from benchmarks.cluster.options import MANIFEST
from benchmarks.cluster.process import file_descriptors
from benchmarks.load.script import make_scripts
from benchmarks.soak.figures import figures
from benchmarks.soak.run import soak
from tests.support.redis_server import redis_binary

STREAMS = 6
SECONDS = 40.0
SESSION_S = (3.0, 9.0)
TTL_S = 3.0
SEED = 3


async def test_sessions_that_ended_leave_nothing_behind() -> None:
    redis_binary()
    clips = [load_clip(row) for row in read_manifest(MANIFEST, 4)]
    scripts = make_scripts(clips, 4, max(SESSION_S), 0.8, SEED)
    settings = {"TYMPAN_SERVER_LOG_LEVEL": "warning", "TYMPAN_STORE_TIME_TO_LIVE_S": str(TTL_S)}
    async with deployment(SCRIPTED, settings) as running:
        before = [file_descriptors(gateway.pid or 0) for gateway in running.gateways]
        found = await soak(running, scripts, STREAMS, SECONDS, SESSION_S, TTL_S, SEED, lambda more: None)
        after = [file_descriptors(gateway.pid or 0) for gateway in running.gateways]
    result = figures(found, TTL_S)
    assert result["problems"] == []
    assert result["missed"] == []
    assert result["sessions"] >= STREAMS * SECONDS / max(SESSION_S) / 2
    assert result["keys_most"] >= STREAMS
    for first, last in zip(before, after, strict=True):
        assert first is not None
        assert last is not None
        assert last - first <= 4, "the store's connections"
