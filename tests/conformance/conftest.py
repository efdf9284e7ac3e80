"""Every store that the contract is tested on, and a way to let time pass for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from session_store.connect import open_store
from session_store.memory import MemoryStore
from session_store.store import Lease, Limits, SessionStore
from tests.support.redis_server import RedisServer

LIMITS = Limits(
    max_sessions=3,
    max_record_bytes=500,
    max_pcm_bytes=100,
    max_events=4,
    max_event_bytes=50,
    max_events_bytes=100,
    max_total_bytes=100_000,
    ttl_s=60.0,
)
REDIS_TIMEOUT_S = 10.0  # these tests measure nothing: a busy machine must not fail them

PassTime = Callable[[float], None]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds


def age(server: RedisServer, seconds: float) -> None:
    """Brings everything that waits for a moment nearer to it, as if time had passed."""
    ms = round(seconds * 1000)
    with server.client() as client:
        for key in client.scan_iter():
            if client.type(key) == "hash" and client.hexists(key, "lease"):
                client.hincrby(key, "lease", -ms)
            client.pexpire(key, client.pttl(key) - ms)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis", "cluster"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def server(kind: str, request: pytest.FixtureRequest) -> RedisServer | None:
    """What the store's data is in; None for the memory store."""
    if kind == "memory":
        return None
    fixture = {"redis": "redis_server", "cluster": "shared_redis_cluster"}[kind]
    server: RedisServer = request.getfixturevalue(fixture)
    with server.client() as client:
        client.flushall()
    return server


@pytest.fixture
async def stores(server: RedisServer | None, clock: Clock) -> AsyncIterator[tuple[SessionStore, SessionStore]]:
    """Two gateways' ways to the same data."""
    if server is None:
        memory = MemoryStore(clock, LIMITS)
        yield memory, memory
        return
    first, second = (open_store("redis", server.url, LIMITS, timeout_s=REDIS_TIMEOUT_S) for _ in range(2))
    yield first, second
    await first.aclose()
    await second.aclose()


@pytest.fixture
def store(stores: tuple[SessionStore, SessionStore]) -> SessionStore:
    return stores[0]


@pytest.fixture
def other(stores: tuple[SessionStore, SessionStore]) -> SessionStore:
    return stores[1]


@pytest.fixture
def pass_time(server: RedisServer | None, clock: Clock) -> PassTime:
    return clock.pass_time if server is None else lambda seconds: age(server, seconds)


@pytest.fixture
async def lease(store: SessionStore) -> Lease:
    return await store.acquire("s", "gateway-1", 10.0)
