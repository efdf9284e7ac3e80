"""URLs of a Redis, the clients that are made of them, and refusals that repeat nothing of what stood there."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from session_store.connect import make_wire, open_store
from session_store.memory import MemoryStore
from session_store.store import Limits
from session_store.url import RedisUrl, parse_url
from session_store.wires import ClusterWire, ServerWire


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("redis://cache", RedisUrl("server", (("cache", 6379),))),
        ("redis://cache/", RedisUrl("server", (("cache", 6379),))),
        ("redis://10.0.0.7:7000/3", RedisUrl("server", (("10.0.0.7", 7000),), db=3)),
        ("redis://[::1]:7000", RedisUrl("server", (("::1", 7000),))),
        ("redis://:pass@cache", RedisUrl("server", (("cache", 6379),), password="pass")),
        ("redis://me:p%40ss%2F%3A@cache", RedisUrl("server", (("cache", 6379),), user="me", password="p@ss/:")),
        ("redis://me:p@s:s@cache", RedisUrl("server", (("cache", 6379),), user="me", password="p@s:s")),
        ("rediss://cache:1", RedisUrl("server", (("cache", 1),), tls=True)),
        (
            "redis+sentinel://:pw@a:1,b/my%20service/2",
            RedisUrl("sentinel", (("a", 1), ("b", 26379)), password="pw", service="my service", db=2),
        ),
        ("rediss+sentinel://a/main", RedisUrl("sentinel", (("a", 26379),), tls=True, service="main")),
        ("redis+cluster://a,[fd00::2]:7001", RedisUrl("cluster", (("a", 6379), ("fd00::2", 7001)))),
        ("rediss+cluster://u:p@a/0", RedisUrl("cluster", (("a", 6379),), tls=True, user="u", password="p")),
    ],
)
def test_a_url_says_where_and_who(url: str, parsed: RedisUrl) -> None:
    assert parse_url(url) == parsed


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "reads redis://"),
        ("http://hush@cache", "reads redis://"),
        ("redis+tls://hush@cache", "reads redis://"),
        ("redis://", "names its host"),
        ("redis://u:hush@", "names its host"),
        ("redis://u:hush@cache:0", "port"),
        ("redis://u:hush@cache:66000", "port"),
        ("redis://u:hush@cache:http", "port"),
        ("redis://u:hu/sh@cache", "%2F"),
        ("redis://u:hush@a,b", "several hosts"),
        ("redis://u:hush@cache/one", "database"),
        ("redis://u:hush@cache/-1", "database"),
        ("redis://u:hush@cache?db=1", "no query"),
        ("redis://u:hu#sh@cache", "%23"),
        ("redis+sentinel://u:hush@a", "/service"),
        ("redis+sentinel://u:hush@a//0", "/service"),
        ("redis+sentinel://u:hush@a/main/x", "database"),
        ("redis+cluster://u:hush@a/1", "database 0"),
    ],
)
def test_a_wrong_url_is_refused_in_words_that_hold_nothing_of_it(url: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        open_store("redis", url)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_url_makes_its_client() -> None:
    server = make_wire(parse_url("redis://me:pw@cache:7000/3"), 1.5)
    assert isinstance(server, ServerWire)
    connection = server._pool.make_connection()
    assert type(connection) is Connection
    assert (connection.host, connection.port, connection.db) == ("cache", 7000, 3)
    assert (connection.username, connection.password, connection.socket_connect_timeout) == ("me", "pw", 1.5)

    tls = make_wire(parse_url("rediss://cache"), 1.0)
    assert isinstance(tls, ServerWire)
    assert type(tls._pool.make_connection()) is SSLConnection

    sentinel = make_wire(parse_url("redis+sentinel://:pw@a:1,b:2/main/4"), 1.0)
    assert isinstance(sentinel, ServerWire)
    pool = sentinel._pool
    assert isinstance(pool, SentinelConnectionPool)
    assert (pool.service_name, pool.connection_kwargs["db"], pool.connection_kwargs["password"]) == ("main", 4, "pw")
    asked = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in asked] == [("a", 1), ("b", 2)]

    cluster = make_wire(parse_url("redis+cluster://:pw@a,b:2"), 1.0)
    assert isinstance(cluster, ClusterWire)
    nodes = cluster._client.nodes_manager.startup_nodes.values()
    assert [(node.host, node.port, node.connection_kwargs["password"]) for node in nodes] == [
        ("a", 6379, "pw"),
        ("b", 2, "pw"),
    ]


def test_a_memory_store_needs_no_url() -> None:
    store = open_store("memory", limits=Limits(ttl_s=7.0), clock=lambda: 0.0)
    assert isinstance(store, MemoryStore)
    assert store.limits.ttl_s == 7.0
