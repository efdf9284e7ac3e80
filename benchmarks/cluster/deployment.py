"""Two gateways over one Redis, behind a balancer: everything on loopback, in a folder that is removed at the end."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster.balancer import Balancer
from benchmarks.cluster.gateway import GatewayProcess
from benchmarks.cluster.process import HOST
from benchmarks.cluster.redis import RedisProcess

GATEWAYS = 2
DRAIN_S = 4.0
END_S = DRAIN_S + 15.0


@dataclass(frozen=True, slots=True)
class Deployment:
    redis: RedisProcess
    gateways: Sequence[GatewayProcess]
    balancer: Balancer

    @property
    def stream_url(self) -> str:
        return f"{self.balancer.url}/v1/stream"


@asynccontextmanager
async def deployment(
    module: Sequence[str], settings: Mapping[str, str] | None = None, gateways: int = GATEWAYS
) -> AsyncIterator[Deployment]:
    """Returns when all of it is ready.

    Args:
        module: what a gateway is, with its arguments.
        settings: as `TYMPAN_*`, beside the store's.
    Raises:
        ProcessError: something did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="tympan-") as name:
        folder = Path(name)
        redis = RedisProcess(folder)
        common = {
            "TYMPAN_SERVER_HOST": HOST,
            "TYMPAN_SERVER_DRAIN_TIMEOUT_S": str(DRAIN_S),
            "TYMPAN_ENGINE_WORKERS": "1",
            "TYMPAN_STORE_KIND": "redis",
            "TYMPAN_STORE_URL": redis.url,
            **(settings or {}),
        }
        members = [GatewayProcess(f"gateway-{n + 1}", folder, module, common) for n in range(gateways)]
        balancer = Balancer(members)
        try:
            await redis.start()
            await asyncio.gather(*(member.start() for member in members))
            await balancer.start()
            yield Deployment(redis, members, balancer)
        finally:
            await balancer.close()
            for member in members:
                member.note_worker()
            await asyncio.gather(*(member.kill() for member in members))
            await asyncio.gather(*(member.end_orphans() for member in members))
            await redis.kill()
