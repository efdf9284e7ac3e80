"""A session whose connection is lost goes on, on the same gateway or on another one, as if nothing had happened."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from inference.pool.fake import FakeEngine
from streaming.protocol.messages import (
    Ack,
    AudioFormat,
    Error,
    Finalize,
    Marker,
    MarkerEcho,
    Ready,
    Speech,
    Start,
    Stop,
    Summary,
    Transcript,
)
from tests.support.callers import SENTENCES, Caller, mulaw, over, same_as_undisturbed
from tests.support.live import Client, Live, live_server, pcm
from tests.support.polling import eventually
from tests.support.redis_server import RedisServer
from tests.support.sessions import speech

IN_SPEECH = 28_000
IN_SILENCE = 56_000


@pytest.fixture(params=["the same gateway", "another gateway"])
async def gateways(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Live, Live]]:
    """Where the session begins, and where it is resumed."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "the same gateway":
            one = await stack.enter_async_context(live_server())
            yield one, one
            return
        server: RedisServer = request.getfixturevalue("redis_server")
        one, two = [await stack.enter_async_context(live_server(store=over(server))) for _ in range(2)]
        yield one, two


async def lose(caller: Caller, live: Live, at: int) -> None:
    """A connection that breaks when so much is sent and what could be stored of it is."""
    async with caller.connected(live) as client:
        await caller.send(client, at)
        await client.until(Ack, sample=at * 2 // caller.audio.sample_rate * caller.audio.sample_rate // 2)
        client.socket.transport.abort()


async def refused(client: Client, start: Start) -> tuple[Error, int | None]:
    """The error and the close code."""
    await client.send(start)
    with contextlib.suppress(ConnectionClosed):
        while True:
            await client.read()
    (error,) = client.received
    assert isinstance(error, Error)
    return error, client.socket.close_code


@pytest.mark.parametrize("at", [4_000, IN_SPEECH, IN_SILENCE])
async def test_a_lost_session_goes_on_where_it_was(gateways: tuple[Live, Live], at: int) -> None:
    one, two = gateways
    caller = Caller()
    async with caller.connected(one) as client:
        await caller.send(client, at)
        if at >= 8_000:
            await client.until(Ack, sample=at // 8_000 * 8_000)
        client.socket.transport.abort()
    first = caller.ready
    async with caller.connected(two) as client:
        ready = caller.ready
        assert first is not None
        assert ready is not None
        assert (first.resumed, ready.resumed) == (False, True)
        assert ready.session == first.session
        assert ready.next_sample == at // 8_000 * 8_000
        assert ready.model == first.model
        assert ready.endpointing == first.endpointing
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_it_may_be_lost_many_times(redis_server: RedisServer) -> None:
    caller = Caller()
    store = over(redis_server)
    async with live_server(store=store) as one, live_server(store=store) as two:
        for turn, at in enumerate(range(9_000, caller.length, 13_000)):
            async with caller.connected((one, two)[turn % 2]) as client:
                await caller.send(client, at)
                await client.until(Ack)
                client.socket.transport.abort()
        async with caller.connected(two) as client:
            assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_two_channels_go_on_side_by_side(gateways: tuple[Live, Live]) -> None:
    agent, customer = speech((0.5, 2.5), (4.2, 5.0), total_s=6.0), speech((2.0, 4.0), total_s=6.0)
    data = np.stack([agent, customer], axis=1).astype("<i2").tobytes()
    caller = Caller(data, AudioFormat(channels=2, labels=["agent", "customer"]))
    await lose(caller, gateways[0], 36_000)
    async with caller.connected(gateways[1]) as client:
        assert caller.ready is not None
        assert caller.ready.audio.labels == ["agent", "customer"]
        assert await caller.stop(client) == 1000
    assert {final[1] for final in caller.finals} == {0, 1}
    await same_as_undisturbed(caller)


@pytest.mark.parametrize("rate", [8_000, 44_100])
async def test_other_rates_go_on_at_the_clients_own_samples(gateways: tuple[Live, Live], rate: int) -> None:
    samples = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0, rate=rate)
    if rate == 8_000:
        caller = Caller(mulaw(samples), AudioFormat(encoding="mulaw", sample_rate=8_000))
    else:
        caller = Caller(pcm(samples), AudioFormat(sample_rate=44_100))
    async with caller.connected(gateways[0]) as client:
        await caller.send(client, round(1.8 * rate))
        ack = await client.until(Ack)
        while ack.sample < 1.5 * rate:
            ack = await client.until(Ack)
        client.socket.transport.abort()
    async with caller.connected(gateways[1]) as client:
        assert caller.ready is not None
        assert caller.ready.next_sample == ack.sample
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_raw_audio_of_a_json_client_continues_the_sessions_clock(gateways: tuple[Live, Live]) -> None:
    caller = Caller(codec="json")
    await lose(caller, gateways[0], IN_SPEECH)
    async with caller.connected(gateways[1]) as client:
        at = caller._sent
        for begin in range(at, caller.length, 4_000):
            await client.socket.send(pcm(SENTENCES[begin : begin + 4_000]))
        caller._sent = caller.length
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_commands_are_counted_and_come_once(gateways: tuple[Live, Live]) -> None:
    """Two are in the snapshot that the session is restored from; the third one is not, and is sent again."""
    caller = Caller()
    async with caller.connected(gateways[0]) as client:
        await caller.send(client, 20_000)
        await caller.command(client, Finalize())
        await caller.command(client, Marker(id="first"))
        await caller.send(client, 24_000)
        await client.has(Ack, commands=2)
        await client.has(MarkerEcho, id="first")
        await caller.send(client, 26_000)
        await caller.command(client, Marker(id="second"))
        await client.until(MarkerEcho, id="second")
        client.socket.transport.abort()
    async with caller.connected(gateways[1]) as client:
        assert caller.ready is not None
        assert caller.ready.commands == 2
        assert await caller.stop(client) == 1000
    assert [message.id for message in caller.heard if isinstance(message, MarkerEcho)] == ["first", "second"]
    assert [message.rule for message in caller.heard if isinstance(message, Speech)][1] == "finalize"
    await same_as_undisturbed(caller)


async def test_what_was_said_after_last_seq_is_said_again_word_for_word(gateways: tuple[Live, Live]) -> None:
    caller = Caller()
    async with caller.connected(gateways[0]) as client:
        await caller.paced(client, IN_SILENCE)
        client.socket.transport.abort()
    said = list(caller.heard)
    assert len(said) > 5
    for last_seq in (0, 3, len(said)):
        async with gateways[1].client() as client:
            await client.start(resume=caller.resume(last_seq))
            again = [await client.read() for _ in said[last_seq:]]
            assert again == said[last_seq:]
            client.socket.transport.abort()
    async with caller.connected(gateways[1]) as client:
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


# -- the end of a session


@pytest.mark.parametrize("stored", [False, True])
async def test_a_session_lost_after_stop_says_its_last_finals_and_summary(
    gateways: tuple[Live, Live], stored: bool
) -> None:
    one, two = gateways
    one.engine.hold_steps()
    caller = Caller()
    async with caller.connected(one) as client:
        await caller.send(client)
        await caller.command(client, Stop())
        if stored:
            await client.until(Ack, commands=1)
        client.socket.transport.abort()
    assert caller.finals == []
    one.engine.release_steps()
    async with caller.connected(two) as client:
        assert await client.rest() == 1000
        assert isinstance(client.received[-1], Summary)
    await same_as_undisturbed(caller)


async def test_a_finished_session_can_be_read_again_for_its_time_to_live(gateways: tuple[Live, Live]) -> None:
    caller = Caller()
    async with caller.connected(gateways[0]) as client:
        assert await caller.stop(client) == 1000
    said = list(caller.heard)
    for last_seq in (0, 4, len(said)):
        async with gateways[1].client() as client:
            ready = await client.start(resume=caller.resume(last_seq))
            assert (ready.resumed, ready.next_sample, ready.commands) == (True, caller.length, 1)
            assert await client.rest() == 1000
            assert client.received[1:] == said[last_seq:]
    assert gateways[1].engine.open_streams() == set()
    assert gateways[1].service.sessions == frozenset()


# -- refusals


async def test_whatever_is_wrong_with_a_resume_the_answer_is_the_same(redis_server: RedisServer) -> None:
    caller = Caller()
    async with live_server(store=over(redis_server)) as live:
        await lose(caller, live, IN_SPEECH)
        right = caller.resume()
        wrong = [
            caller.resume(token="x" * 22),
            caller.resume(token=right.session),
            type(right)(session="nobody", token=right.token),
        ]
        answers = []
        for resume in wrong:
            async with live.client() as client:
                answers.append(await refused(client, Start(resume=resume)))
        async with caller.connected(live) as client:
            client.socket.transport.abort()
        assert await live.service.wait_until_empty(5)
        with redis_server.client() as redis:
            for key in redis.scan_iter():
                redis.pexpire(key, 1)

            async def expired() -> bool:
                return not redis.dbsize()

            await eventually(expired)
        async with live.client() as client:
            answers.append(await refused(client, Start(resume=right)))
    (code,) = {code for _, code in answers}
    (text,) = {(error.code, error.message, error.retryable) for error, _ in answers}
    assert code == 4404
    assert text == ("no_session", "there is no such session to be resumed with this token", False)


async def test_another_format_is_refused_and_the_live_connection_goes_on(gateways: tuple[Live, Live]) -> None:
    caller = Caller()
    async with caller.connected(gateways[0]) as client:
        await caller.send(client, IN_SPEECH)
        await client.until(Ack)
        async with gateways[1].client() as other:
            error, code = await refused(other, Start(resume=caller.resume(), audio=AudioFormat(sample_rate=8_000)))
            assert (error.code, code) == ("unsupported", 4422)
            assert "format" in error.message
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_while_the_store_is_away_a_resume_is_to_be_tried_again(own_redis_server: RedisServer) -> None:
    caller = Caller()
    async with live_server(store=over(own_redis_server, timeout_s=0.3)) as live:
        await lose(caller, live, IN_SPEECH)
        assert await live.service.wait_until_empty(5)
        own_redis_server.freeze()
        async with live.client() as client:
            error, code = await refused(client, Start(resume=caller.resume()))
        assert (error.code, error.retryable, code) == ("store_unavailable", True, 1013)
        assert error.retry_after_ms
        own_redis_server.thaw()
        async with caller.connected(live) as client:
            assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_a_session_that_is_live_on_a_full_gateway_can_be_resumed_there() -> None:
    caller = Caller()
    async with live_server(max_sessions=1) as live, caller.connected(live) as first:
        await caller.send(first, IN_SPEECH)
        await first.until(Ack, sample=24_000)
        caller.keep(first)
        async with caller.connected(live) as second:
            assert await caller.stop(second) == 1000
    await same_as_undisturbed(caller)


async def test_a_resume_on_a_gateway_without_an_engine_leaves_the_session_to_others(redis_server: RedisServer) -> None:
    caller = Caller()
    store, broken = over(redis_server), FakeEngine()
    async with live_server(store=store) as good, live_server(broken, store=store) as bad:
        await lose(caller, good, IN_SPEECH)
        broken.fail_for_good("The worker could not be started again.")
        async with bad.client() as client:
            error, _ = await refused(client, Start(resume=caller.resume()))
            assert (error.code, error.retryable) == ("engine_unavailable", True)
        async with caller.connected(good) as client:
            assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)


async def test_stable_words_keep_their_ids_and_text_when_the_interim_is_said_again(
    gateways: tuple[Live, Live],
) -> None:
    """The session is lost in the middle of an utterance with stable words, and its log is ahead of its snapshot."""
    caller = Caller(pcm(speech((0.3, 8.0), total_s=9.0)))
    async with caller.connected(gateways[0]) as client:
        await caller.paced(client, 60_000)
        client.socket.transport.abort()
    shown: dict[int, str] = {}
    for message in caller.heard:
        if isinstance(message, Transcript):
            shown |= {word.id: word.text for word in message.words if word.state == "stable"}
    assert len(shown) >= 4
    async with caller.connected(gateways[1]) as client:
        assert await caller.stop(client) == 1000
        for word in (word for message in client.got(Transcript) for word in message.words):
            assert shown.get(word.id, word.text) == word.text
    await same_as_undisturbed(caller)


async def test_a_server_that_stops_leaves_its_sessions_to_the_next_one(redis_server: RedisServer) -> None:
    caller = Caller()
    async with live_server(store=over(redis_server)) as one, caller.connected(one) as client:
        await caller.send(client, IN_SPEECH)
        await client.until(Transcript)
        await one.service.drain(0.05)
        stopping = asyncio.create_task(one.service.stop())
        assert await client.rest() == 1012
        error = client.received[-1]
        assert isinstance(error, Error)
        assert (error.code, error.retryable) == ("draining", True)
        await stopping
    async with live_server(store=over(redis_server)) as two, caller.connected(two) as client:
        assert isinstance(client.received[0], Ready)
        assert await caller.stop(client) == 1000
    await same_as_undisturbed(caller)
