"""Two gateways behind a real HAProxy with the settings of deploy/, over one store; and over a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec

from session_store.connect import open_store
from session_store.store import SessionRecord, StoredEvent
from tests.support.deployment import BALANCER, ROOT, haproxy_binary
from tests.support.gateways import PATIENCE_S, Door, Gateway, gateway
from tests.support.logs import SESSION, START, SUMMARY, LogStore, final, interim
from tests.support.redis_server import RedisServer, free_port, running


def settings(port: int, gateways: list[Gateway]) -> str:
    """Those of deploy/, with this machine's ports in place of Docker's names."""
    text = BALANCER.read_text("utf-8")
    servers = "\n".join(f"    server gateway{at} {one.host}" for at, one in enumerate(gateways))
    text, templates = re.subn(r"(?m)^ +server-template .*$", servers, text)
    text, binds = re.subn(r"(?m)^ +bind :8080$", f"    bind 127.0.0.1:{port}", text)
    assert (templates, binds) == (1, 1)
    return text


@asynccontextmanager
async def balancer(folder: Path, gateways: list[Gateway], *, health: int = 200) -> AsyncIterator[Door]:
    """Returns when it says of itself what is expected: 200, it has gateways; 503, it has none."""
    door = Door(free_port())
    file = folder / "haproxy.cfg"
    file.write_text(settings(door.port, gateways))
    process = await asyncio.create_subprocess_exec(haproxy_binary(), "-f", file, "-db", stdout=subprocess.DEVNULL)
    try:
        await says(door, health)
        yield door
    finally:
        process.kill()
        await process.wait()


async def says(door: Door, health: int) -> None:
    """Waits until the balancer answers this."""
    async with asyncio.timeout(PATIENCE_S), door.http() as http:
        answer: int | None = None
        while answer != health:
            with contextlib.suppress(httpx.TransportError):
                answer = (await http.get("/balancer")).status_code
            await asyncio.sleep(0.05)


async def test_viewers_come_through_and_a_gateway_that_drains_gets_no_new_ones(tmp_path: Path) -> None:
    store = LogStore()
    store.say(interim(1, "good"))
    async with gateway(store) as one, gateway(store) as two:
        for each in (one, two):
            await each.service.start()
        async with balancer(tmp_path, [one, two]) as door, door.http() as http:
            async with door.viewer("msgpack") as first, door.viewer() as second:
                for viewer in (first, second):
                    assert [(await viewer.read())["type"] for _ in range(2)] == ["watching", "transcript"]
                counts = [each.service.metrics.viewers.collect()[0].samples[0].value for each in (one, two)]
                assert counts == [1, 1], "the least busy gateway gets the next viewer"
                assert (await http.get("/metrics")).status_code == 404
                assert (await http.get("/readyz")).json()["model"] == "fake"

                await one.service.drain(0)
                await asyncio.sleep(3)  # Two checks, of one second each, must fail.
                async with door.viewer() as third, door.viewer() as fourth:
                    await third.read()
                    await fourth.read()
                    counts = [each.service.metrics.viewers.collect()[0].samples[0].value for each in (one, two)]
                    assert counts == [1, 3]
                store.say(final(1, "Good."), SUMMARY)
                for viewer in (first, second):
                    rest, code = await viewer.rest()
                    assert [message["type"] for message in rest] == ["transcript", "summary"]
                    assert code == 1000
            async with http.stream("GET", f"/v1/sessions/{SESSION}/watch") as answer:
                body = "".join([line async for line in answer.aiter_lines()])
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert '"type":"summary"' in body


async def test_viewers_of_two_gateways_see_what_a_third_party_writes_into_redis(redis_server: RedisServer) -> None:
    writer = open_store("redis", redis_server.url)
    stores = [open_store("redis", redis_server.url) for _ in range(2)]
    lease = await writer.acquire(SESSION, "elsewhere", 60)
    record = SessionRecord(session=SESSION, start=msgspec.msgpack.encode(START))
    await writer.commit(lease, record, expected_version=0)
    messages = [interim(1, "good"), interim(1, "morning", from_word=1, revision=2), final(1, "Good morning."), SUMMARY]
    for seq, message in enumerate(messages, 1):
        message.seq = seq
    events = [StoredEvent(message.seq, msgspec.msgpack.encode(message)) for message in messages]
    await writer.append_events(lease, events[:1])
    try:
        async with gateway(stores[0]) as one, gateway(stores[1]) as two, one.viewer() as here, two.viewer() as there:
            for viewer in (here, there):
                assert [(await viewer.read()).get("seq") for _ in range(2)] == [None, 1]
            for event in events[1:]:
                await writer.append_events(lease, [event])
            for viewer in (here, there):
                rest, code = await viewer.rest()
                assert [message["type"] for message in rest][-2:] == ["transcript", "summary"]
                assert code == 1000
    finally:
        for store in (writer, *stores):
            await store.aclose()


def test_redis_takes_its_settings(tmp_path: Path) -> None:
    """Those of deploy/, but for the folder; and the password by a file of its own, as docker-compose.yml has it."""
    password = tmp_path / "password.conf"
    password.write_text("requirepass secret\n")
    text = (ROOT / "deploy" / "redis.conf").read_text("utf-8")
    file = tmp_path / "redis.conf"
    file.write_text(re.sub(r"(?m)^(dir|port) .*\n", "", text))

    class Configured(RedisServer):
        def client(self):  # type: ignore[no-untyped-def]
            self._password = "secret"
            return super().client()

    server = Configured(tmp_path / "data", "--include", str(file), "--include", str(password))
    with running(server), server.client() as client:
        assert client.config_get("maxmemory*")["maxmemory-policy"] == "noeviction"
        assert client.config_get("appendonly")["appendonly"] == "yes"


async def test_a_balancer_without_a_gateway_that_is_ready_says_so(tmp_path: Path) -> None:
    async with (
        gateway(LogStore()) as starting,
        balancer(tmp_path, [starting], health=503) as door,
        door.http() as http,
    ):
        assert (await http.get("/")).status_code == 503
        await starting.service.start()
        await says(door, 200)
        assert (await http.get("/")).status_code == 200
