"""Viewers of a session over real sockets: late, several, slow, coming back; and the session's routes by HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from streaming.protocol.messages import Transcript
from tests.support.gateways import PATIENCE_S, gateway
from tests.support.logs import SESSION, SUMMARY, LogStore, final, interim, started


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event to a test
            await asyncio.sleep(0.01)


async def events_of(http: httpx.AsyncClient, count: int, **options: Any) -> list[tuple[int | None, dict[str, Any]]]:
    """The first `count` events of the stream (fewer where it ends): number and message."""
    found: list[tuple[int | None, dict[str, Any]]] = []
    number: int | None = None
    async with http.stream("GET", f"/v1/sessions/{SESSION}/watch", **options) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "data":
                found.append((number, json.loads(value)))
                number = None
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_late_viewer_gets_what_was_said_and_then_what_is_said(codec: str) -> None:
    store = LogStore()
    store.say(started(1), interim(1, "good"), final(1, "Good morning."), started(2), interim(2, "how"))
    async with gateway(store) as here, here.viewer(codec) as viewer:
        assert viewer.socket.subprotocol == f"tympan.v1.{codec}"
        watching = await viewer.read()
        assert watching["type"] == "watching"
        assert watching["last_seq"] == 5
        assert watching["audio"]["labels"] == ["agent", "customer"]
        past = [await viewer.read() for _ in range(3)]
        assert [(one["type"], one["seq"]) for one in past] == [("transcript", 3), ("speech", 4), ("transcript", 5)]
        store.say(interim(2, "are", from_word=1, revision=2))
        live = await viewer.read()
        assert (live["seq"], live["from_word"]) == (6, 1)
        store.say(final(2, "How are you?"), SUMMARY)
        rest, code = await viewer.rest()
        assert [one["type"] for one in rest] == ["transcript", "summary"]
        assert code == 1000


async def test_viewers_share_one_reader_and_what_they_send_is_ignored() -> None:
    store = LogStore()
    async with gateway(store) as here, here.viewer() as one, here.viewer("msgpack") as two:
        assert (await one.read())["type"] == (await two.read())["type"] == "watching"
        await one.socket.send('{"type": "stop"}')
        await two.socket.send(b"\x00" * 1000)
        store.say(final(1, "One."))
        assert await one.read() == await two.read()
        assert len(store.waits) == 1
        assert store.reads < 10
        async with here.http() as http:
            assert "tympan_viewers 2.0" in (await http.get("/metrics")).text.splitlines()
    assert store.waits == set(), "nobody watches: nobody reads"


async def test_a_slow_viewer_gets_joined_interims_and_holds_nobody_up() -> None:
    """Half a megabyte of interims while it does not read: it gets the newest, the other one all of them."""
    store = LogStore()
    async with gateway(store) as here, here.viewer() as quick:
        await quick.read()
        async with here.viewer(max_queue=1) as slow:
            await slow.read()
            text = "word " * 60
            for revision in range(1, 401):
                store.say(interim(1, text, revision=revision))
                assert (await quick.read())["revision"] == revision
            store.say(final(1, "The end.", revision=401), SUMMARY)
            messages, code = await slow.rest()
            assert code == 1000
            seqs = [message["seq"] for message in messages]
            assert seqs == sorted(seqs)
            assert len(seqs) < 400
            assert [message["type"] for message in messages[-2:]] == ["transcript", "summary"]
            assert messages[-2]["final"]


@pytest.mark.parametrize("by", ["websocket", "events"])
async def test_a_viewer_that_reads_nothing_is_disconnected(by: str) -> None:
    store = LogStore()
    async with gateway(store, send_timeout_s=0.3) as here:
        with socket.create_connection(("127.0.0.1", here.port)) as dead:
            upgrade = (
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            )
            dead.sendall(
                f"GET /v1/sessions/{SESSION}/watch HTTP/1.1\r\nHost: {here.host}\r\n"
                f"{upgrade if by == 'websocket' else ''}\r\n".encode()
            )
            await until(lambda: len(store.waits) == 1)

            def nobody_watches() -> bool:
                store.say(*(final(at, "word " * 300) for at in range(50)))
                return not store.waits

            await until(nobody_watches)


async def test_an_ended_session_is_replayed_and_closed() -> None:
    store = LogStore()
    store.say(final(1, "One."), SUMMARY)
    async with gateway(store) as here, here.viewer() as viewer:
        messages, code = await viewer.rest()
    assert [one["type"] for one in messages] == ["watching", "transcript", "summary"]
    assert messages[0]["done"]
    assert code == 1000


async def test_an_unknown_session_is_an_error_with_a_code() -> None:
    async with gateway(LogStore()) as here:
        async with here.viewer(session="AAAAAAAAAAAAAAAAAAAAAA") as viewer:
            messages, code = await viewer.rest()
            assert [(one["type"], one["code"]) for one in messages] == [("error", "no_session")]
            assert code == 4404
        async with here.http() as http:
            for place in ("", "/watch", "/transcript.json", "/transcript.srt"):
                for session in ("AAAAAAAAAAAAAAAAAAAAAA", "a*", "x" * 65):
                    answer = await http.get(f"/v1/sessions/{session}{place}")
                    assert answer.status_code == 404, place
                    assert answer.headers["content-type"] == "application/json"
                    assert answer.json()["code"] == "no_session"


async def test_a_session_that_expires_ends_the_watch() -> None:
    store = LogStore()
    async with gateway(store) as here, here.viewer() as viewer, here.http() as http:
        await viewer.read()
        async with http.stream("GET", f"/v1/sessions/{SESSION}/watch") as answer:
            lines = answer.aiter_lines()
            while not (await anext(lines)).startswith("data"):
                pass
            store.expire()
            messages, code = await viewer.rest()
            assert ([one["code"] for one in messages], code) == (["no_session"], 4404)
            assert '"code":"no_session"' in "".join([line async for line in lines])


async def test_events_carry_their_number_and_go_on_after_the_last_one() -> None:
    store = LogStore()
    store.say(final(1, "One."), final(2, "Two."))
    async with gateway(store) as here, here.http() as http:
        first = await events_of(http, 3, headers={"Accept": "text/event-stream"})
        assert [(number, message["type"]) for number, message in first] == [
            (None, "watching"),
            (1, "transcript"),
            (2, "transcript"),
        ]
        store.say(final(3, "Three."))
        for options in ({"headers": {"Last-Event-ID": "2"}}, {"params": {"after": "2"}}):
            again = await events_of(http, 2, **options)
            assert [number for number, _ in again] == [None, 3]
        async with here.viewer(query="?after=2") as viewer:
            assert [(await viewer.read()).get("seq") for _ in range(2)] == [None, 3]
        store.say(SUMMARY)
        rest = await events_of(http, 99, headers={"Last-Event-ID": "3"})
        assert [message["type"] for _, message in rest] == ["watching", "summary"]
        over = await http.get(f"/v1/sessions/{SESSION}/watch", headers={"Last-Event-ID": "4"})
        assert over.status_code == 204, "an EventSource is told not to come again"


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 30, "\u0663"])
async def test_a_number_that_is_none_is_refused(after: str) -> None:
    async with gateway(LogStore()) as here, here.http() as http:
        answer = await http.get(f"/v1/sessions/{SESSION}/watch", params={"after": after})
        assert (answer.status_code, answer.json()["code"]) == (400, "unsupported")


async def test_a_log_without_its_beginning_says_so() -> None:
    store = LogStore()
    store.say(final(1, "One."), interim(2, "two"), interim(2, "three", from_word=1), final(3, "Three."))
    store.trim(3)
    async with gateway(store) as here, here.viewer() as viewer, here.http() as http:
        assert (await viewer.read())["first_seq"] == 3
        assert (await viewer.read())["utterance"] == 3
        answer = await http.get(f"/v1/sessions/{SESSION}/transcript.txt")
        assert answer.headers["tympan-first-seq"] == "3"
        assert answer.text == "agent: Three.\n"


async def test_a_watch_outlives_a_store_that_is_away_for_a_moment() -> None:
    store = LogStore()
    async with gateway(store) as here, here.viewer() as viewer:
        await viewer.read()
        store.away = True
        store.say()
        await asyncio.sleep(0.1)
        store.away = False
        store.say(final(1, "Back."))
        assert (await viewer.read())["text"] == "Back."


async def test_a_store_that_is_away_is_told() -> None:
    store = LogStore()
    store.away = True
    async with gateway(store) as here, here.viewer() as viewer, here.http() as http:
        _, code = await viewer.rest()
        assert code == 1013
        answer = await http.get(f"/v1/sessions/{SESSION}")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0


async def test_viewers_and_watched_sessions_are_bounded() -> None:
    async with gateway(LogStore(), max_viewers=1) as here, here.viewer() as first:
        await first.read()
        async with here.viewer() as second:
            messages, code = await second.rest()
            assert (messages[0]["code"], code) == ("overloaded", 1013)
    async with gateway(LogStore(), max_watched=0) as here, here.http() as http:
        assert (await http.get(f"/v1/sessions/{SESSION}/watch")).status_code == 503


async def test_a_gateway_that_stops_sends_its_viewers_elsewhere() -> None:
    store = LogStore()
    async with gateway(store) as here, here.viewer() as viewer, here.http() as http:
        await viewer.read()
        reading = asyncio.create_task(events_of(http, 99))
        await until(lambda: "tympan_viewers 2.0" in here.service.metrics.render().decode())
        here.server.end()
        _, code = await viewer.rest()
        assert code == 1012
        assert (await reading)[-1][1]["code"] == "draining"


async def test_transcripts_of_a_watch_are_the_protocols() -> None:
    """A client's own reader of `transcript` messages takes them as they are."""
    store = LogStore()
    store.say(final(1, "One."))
    async with gateway(store) as here, here.viewer() as viewer:
        await viewer.read()
        message = msgspec.convert(await viewer.read(), Transcript)
        assert message.text == "One."
