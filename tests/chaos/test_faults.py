"""Faults in a small deployment: real gateways, workers and Redis as processes, and nothing is lost or said twice."""

from __future__ import annotations

from benchmarks.accuracy.clips import load_clip, read_manifest
from benchmarks.chaos.figures import figures
from benchmarks.chaos.run import at_rates, disturbed, undisturbed
from benchmarks.cluster.deployment import deployment
from benchmarks.cluster.gateway import SCRIPTED
from benchmarks.cluster.options import MANIFEST
from benchmarks.load.script import make_scripts
from tests.support.redis_server import redis_binary

STREAMS = 4
SECONDS = 16.0
SEED = 7


async def test_nothing_is_lost_nor_said_twice_while_processes_die_and_freeze() -> None:
    """The workers have no model: a word is the checksum of half a second, so one sample too few would show."""
    redis_binary()
    clips = [load_clip(row) for row in read_manifest(MANIFEST, 4)]
    scripts = at_rates(make_scripts(clips, 2, SECONDS, 0.8, SEED))
    async with deployment(SCRIPTED, {"TYMPAN_SERVER_LOG_LEVEL": "warning"}) as running:
        alone = await undisturbed(scripts, running.stream_url, lambda: None)
        run = await disturbed(running, scripts, STREAMS, SEED, lambda fault: None)
    found = figures(run.clients, alone, run.faults, run.began_s)
    assert found["problems"] == []
    assert found["missed"] == []
    assert found["faults_not_settled"] == 0
    assert found["fault_count"] >= 4
    assert found["finals"] >= STREAMS
