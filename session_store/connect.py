"""Makes the store that the settings name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from session_store.memory import MemoryStore
from session_store.store import Limits, SessionStore
from session_store.url import RedisUrl, parse_url

if TYPE_CHECKING:
    from session_store.batch import Wire

StoreKind = Literal["memory", "redis"]
CLIENT_NAME = "tympan"


def open_store(
    kind: StoreKind,
    url: str = "",
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
    *,
    timeout_s: float = 1.0,
) -> SessionStore:
    """Connects to nothing yet: a Redis may come later than its gateways. Somebody must `aclose` it.

    Args:
        url: of a Redis, as `url.FORMS` says.
        clock: of a memory store; a Redis has its own.
        timeout_s: of each call to a Redis.

    Raises:
        ValueError: the URL cannot be read; its message holds nothing of it.
    """
    if kind == "memory":
        return MemoryStore(clock, limits)
    # Only here: whoever needs no Redis does not pay for the import.
    from session_store.redis_store import RedisStore

    return RedisStore(make_wire(parse_url(url), timeout_s), limits, timeout_s)


def make_wire(url: RedisUrl, timeout_s: float) -> Wire:
    from redis.asyncio import RedisCluster
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection
    from redis.asyncio.retry import Retry
    from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
    from redis.backoff import NoBackoff

    from session_store.wires import ClusterWire, ServerWire

    options: dict[str, Any] = {
        "username": url.user,
        "password": url.password,
        "client_name": CLIENT_NAME,
        "protocol": 2,
        "socket_connect_timeout": timeout_s,
        # A whole batch has one timeout, which its caller keeps; and a write that may have happened is not sent again.
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
    }
    if url.shape == "cluster":
        nodes = [ClusterNode(host, port) for host, port in url.hosts]
        clients = [RedisCluster(startup_nodes=nodes, ssl=url.tls, **options) for _ in range(2)]
        return ClusterWire(clients[0], clients[1])
    options["db"] = url.db
    if url.shape == "sentinel":
        sentinel_options = {"ssl": url.tls, "socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
        sentinels = Sentinel(url.hosts, sentinel_kwargs=sentinel_options)
        pools: list[ConnectionPool] = [
            SentinelConnectionPool(url.service, sentinels, ssl=url.tls, **options) for _ in range(2)
        ]
    else:
        host, port = url.hosts[0]
        kind = SSLConnection if url.tls else Connection
        pools = [ConnectionPool(connection_class=kind, host=host, port=port, **options) for _ in range(2)]
    return ServerWire(pools[0], pools[1])
