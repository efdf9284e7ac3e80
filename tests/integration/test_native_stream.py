"""Whole exchanges over a real socket: the app, the protocol, the session and the scheduler with a scripted engine."""

import asyncio
import json

import msgspec
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from inference.pool.fake import FakeEngine
from inference.pool.interface import Sound
from streaming.protocol.messages import (
    Ack,
    AudioFormat,
    Configure,
    Error,
    Event,
    Finalize,
    Gap,
    GoAway,
    Load,
    Marker,
    MarkerEcho,
    Ready,
    Speech,
    Stop,
    Summary,
    Transcript,
)
from streaming.session.outbox import is_numbered
from streaming.session.settings import SessionSettings
from tests.support.live import Client, live_server, pcm
from tests.support.sessions import ENDPOINTING, speech

SENTENCES = speech((0.5, 2.5), (4.0, 5.5), total_s=7.0)


def assert_well_formed(client: Client) -> None:
    """What holds for every session's messages."""
    numbers = [message.seq for message in client.received if is_numbered(message)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(message.seq == -1 for message in client.received if not is_numbered(message))
    assert isinstance(client.received[0], Ready)
    shown: dict[int, list[str]] = {}
    for message in client.got(Transcript):
        words = shown.setdefault(message.utterance, [])
        assert message.from_word <= len(words)
        words[message.from_word :] = [word.text for word in message.words]
        if message.final:
            assert " ".join(words) == message.text
            assert {word.state for word in message.words} <= {"final"}
    finals = [message.utterance for message in client.finals]
    assert len(finals) == len(set(finals)), "one final for each utterance"


@pytest.mark.parametrize("codec", ["msgpack", "json"])
async def test_a_whole_session(codec: str) -> None:
    """From start to summary: two utterances, interims on the way, acks, and a normal close."""
    async with live_server() as live, live.client(codec) as client:
        ready = await client.start()
        assert ready.model.name == "fake"
        assert ready.max_message_bytes == 1 << 20
        await client.send_audio(pcm(SENTENCES), step_bytes=6_400)
        await client.send(Stop())
        assert await client.rest() == 1000
        assert_well_formed(client)
        assert [message.state for message in client.got(Speech)] == ["started", "ended"] * 2
        assert [message.text for message in client.finals] == [
            "bravo charlie delta echo foxtrot",
            "kilo lima mike november",
        ]
        assert client.got(Ack)[-1].sample == len(SENTENCES)
        summary = client.received[-1]
        assert isinstance(summary, Summary)
        assert (summary.utterances, summary.audio_ms) == (2, 7000)
        assert summary.encoder_frames > 0
        assert summary.decoder_calls > 0
        assert live.engine.open_streams() == set()
        assert live.service.sessions == frozenset()


async def test_interims_come_while_the_utterance_is_open() -> None:
    async with live_server() as live, live.client() as client:
        await client.start()
        await client.send_audio(pcm(SENTENCES[:32_000]))
        interim = await client.until(Transcript)
        assert not interim.final
        assert interim.words
        assert interim.decoded_until_ms % 500 == 0


async def test_both_codecs_and_any_chunk_size_give_the_same_finals() -> None:
    texts = []
    async with live_server() as live:
        for codec, step_bytes in (("msgpack", 640), ("json", 10_667 * 2), ("msgpack", 1 << 19)):
            async with live.client(codec) as client:
                await client.start()
                await client.send_audio(pcm(SENTENCES), step_bytes=step_bytes)
                await client.send(Stop())
                await client.rest()
                texts.append([(message.text, message.words[0].start_ms) for message in client.finals])
    assert texts[0] == texts[1] == texts[2]


async def test_json_takes_binary_messages_as_audio_that_continues_the_clock() -> None:
    async with live_server() as live, live.client("json") as client:
        await client.start()
        for at in range(0, len(SENTENCES), 4_000):
            await client.socket.send(pcm(SENTENCES[at : at + 4_000]))
        await client.send(Stop())
        assert await client.rest() == 1000
        said = [message.text for message in client.finals]
    async with live_server() as live, live.client("msgpack") as client:
        await client.start()
        await client.send_audio(pcm(SENTENCES), step_bytes=8_000)
        await client.send(Stop())
        await client.rest()
        assert len(said) == 2
        assert said == [message.text for message in client.finals]


async def test_a_client_that_offers_no_subprotocol_speaks_json() -> None:
    async with live_server() as live, live.connect() as socket:
        await socket.send('{"type": "start"}')
        assert json.loads(await socket.recv())["type"] == "ready"


async def test_an_unknown_subprotocol_is_refused_with_the_known_ones() -> None:
    async with live_server() as live:
        with pytest.raises(InvalidStatus) as refused:
            async with live.connect("graphql-ws"):
                pass
        assert refused.value.response.status_code == 400
        assert b"tympan.v1.json" in (refused.value.response.body or b"")


@pytest.mark.parametrize(("origin", "allowed"), [("http://evil.example", False), ("https://ok.example", True)])
async def test_pages_of_other_origins_may_not_connect_unless_listed(origin: str, allowed: bool) -> None:
    async with live_server(allowed_origins=("https://ok.example",)) as live:
        if allowed:
            async with live.connect(origin=origin):
                return
        with pytest.raises(InvalidStatus) as refused:
            async with live.connect(origin=origin):
                pass
        assert refused.value.response.status_code == 403


async def test_two_channels_have_their_own_speech_and_share_the_clock() -> None:
    agent, customer = speech((0.5, 1.5), total_s=5.0), speech((2.5, 3.5), total_s=5.0)
    async with live_server() as live, live.client() as client:
        await client.start(audio=AudioFormat(channels=2, labels=["agent", "customer"]), endpointing=ENDPOINTING)
        await client.send_audio(np.stack([agent, customer], axis=1).astype("<i2").tobytes(), 4)
        await client.send(Stop())
        assert await client.rest() == 1000
        assert_well_formed(client)
        started = [(message.channel, message.at_ms) for message in client.got(Speech) if message.state == "started"]
        assert [channel for channel, _ in started] == [0, 1]
        assert started[1][1] - started[0][1] == pytest.approx(2000, abs=32)


@pytest.mark.parametrize("rate", [8000, 24000, 44100, 48000])
@pytest.mark.parametrize("encoding", ["s16le", "f32le", "mulaw", "alaw"])
async def test_every_encoding_and_rate_is_heard_alike(encoding: str, rate: int) -> None:
    samples = speech((0.5, 1.5), total_s=3.0, rate=rate)
    match encoding:
        case "f32le":
            data, frame_bytes = (samples / 32768).astype("<f4").tobytes(), 4
        case "s16le":
            data, frame_bytes = pcm(samples), 2
        case _:
            loud, quiet = (0x80, 0xFF) if encoding == "mulaw" else (0xAA, 0xD5)
            data, frame_bytes = np.where(samples != 0, loud, quiet).astype(np.uint8).tobytes(), 1
    async with live_server() as live, live.client() as client:
        await client.start(audio=AudioFormat(encoding=encoding, sample_rate=rate), endpointing=ENDPOINTING)
        await client.send_audio(data, frame_bytes, step_bytes=10_000)
        await client.send(Stop())
        assert await client.rest() == 1000
        started, ended = client.got(Speech)
        assert started.at_ms == pytest.approx(500, abs=33)
        assert ended.at_ms == pytest.approx(2000, abs=66)
        assert client.received[-1].audio_ms == 3000


async def test_a_marker_comes_back_when_all_before_it_is_decoded() -> None:
    engine = FakeEngine()
    async with live_server(engine) as live, live.client() as client:
        await client.start()
        engine.hold_steps()
        await client.send_audio(pcm(SENTENCES[:20_000]))
        await client.send(Marker(id="here"))
        await engine.stepping.wait()
        engine.release_steps()
        echo = await client.until(MarkerEcho)
        assert (echo.id, echo.sample) == ("here", 20_000)
        decoded = [message.decoded_until_ms for message in client.got(Transcript)]
        assert max(decoded) == 1240, "the newest whole encoder frame"


async def test_markers_pace_a_client_through_a_whole_clip() -> None:
    """Lock-step: a marker after each half second; every interim is there, and there is none in a pause that may be the
    end."""
    async with live_server() as live, live.client() as client:
        await client.start()
        for at in range(0, len(SENTENCES), 8_000):
            await client.send_audio(pcm(SENTENCES[at : at + 8_000]), first_sample=at)
            await client.send(Marker(id=str(at)))
            await client.until(MarkerEcho, id=str(at))
        interims = [message.decoded_until_ms for message in client.got(Transcript) if not message.final]
        assert interims == [1000, 1500, 2000, 2500, 4500, 5000, 5500]


async def test_finalize_ends_the_utterance_now() -> None:
    async with live_server() as live, live.client() as client:
        await client.start()
        await client.send_audio(pcm(SENTENCES[:24_000]))
        await client.send(Finalize())
        ended = await client.until(Speech, state="ended")
        assert (ended.rule, ended.at_ms) == ("finalize", 1500)
        assert (await client.until(Transcript, final=True)).utterance == ended.utterance


async def test_configure_applies_from_there_on() -> None:
    patient = msgspec.structs.replace(ENDPOINTING, min_silence_ms=3000)
    async with live_server() as live, live.client() as client:
        await client.start()
        await client.send(Configure(endpointing=patient, interim="off"))
        await client.send_audio(pcm(SENTENCES))
        await client.send(Stop())
        assert await client.rest() == 1000
        assert len(client.finals) == 1, "the pause is too short now"
        assert client.got(Transcript) == client.finals


async def test_a_gap_of_the_client_is_told_and_the_clock_goes_on() -> None:
    async with live_server() as live, live.client() as client:
        await client.start()
        await client.send_audio(pcm(SENTENCES[:40_000]))
        await client.send_audio(pcm(SENTENCES[60_000:]), first_sample=60_000)
        await client.send(Stop())
        assert await client.rest() == 1000
        (gap,) = client.got(Gap)
        assert (gap.from_sample, gap.to_sample, gap.reason) == (40_000, 60_000, "client")
        assert client.received[-1].gaps == 1
        assert client.got(Speech)[2].at_ms == pytest.approx(4000, abs=32)


async def test_sounds_are_events() -> None:
    engine = FakeEngine(sounds=[Sound("laughs", 16_000, 20_000)])
    async with live_server(engine) as live, live.client() as client:
        await client.start()
        await client.send_audio(pcm(SENTENCES))
        await client.send(Stop())
        await client.rest()
        (event,) = client.got(Event)
        assert (event.label, event.start_ms, event.end_ms) == ("laughs", 1000, 1250)


async def test_a_lost_worker_changes_no_final() -> None:
    engine = FakeEngine()
    async with live_server(engine) as live:
        texts = []
        for lose in (False, True):
            async with live.client() as client:
                await client.start()
                await client.send_audio(pcm(SENTENCES[:32_000]))
                await client.until(Transcript)
                if lose:
                    engine.lose_worker()
                await client.send_audio(pcm(SENTENCES[32_000:]), first_sample=32_000)
                await client.send(Stop())
                assert await client.rest() == 1000
                texts.append([message.text for message in client.finals])
        assert texts[0] == texts[1]
        assert len(texts[0]) == 2


async def test_an_engine_that_is_gone_for_good_ends_sessions_with_a_retryable_error() -> None:
    engine = FakeEngine()
    async with live_server(engine) as live:
        async with live.client() as client:
            await client.start()
            await client.send_audio(pcm(SENTENCES[:32_000]))
            await client.until(Transcript)
            engine.fail_for_good("The worker could not be started again.")
            await client.send_audio(pcm(SENTENCES[32_000:]), first_sample=32_000)
            assert await client.rest() == 1013
            error = client.received[-1]
            assert isinstance(error, Error)
            assert (error.code, error.retryable) == ("engine_unavailable", True)
        async with live.client() as client:
            with pytest.raises(ConnectionClosed):
                await client.start()
            assert client.received[-1].code == "engine_unavailable"


async def test_a_job_that_fails_for_good_is_a_gap_and_the_session_goes_on() -> None:
    engine = FakeEngine()
    async with live_server(engine, session=SessionSettings(early_finals=False)) as live, live.client() as client:
        ready = await client.start(interim="off")
        engine.fail_jobs(f"{ready.session}/0", "bad_job")
        await client.send_audio(pcm(SENTENCES))
        await client.send(Stop())
        assert await client.rest() == 1000
        (gap,) = client.got(Gap)
        assert gap.reason == "lost"
        assert gap.from_sample <= 8_000
        assert gap.to_sample >= 40_000
        assert [(error.code, error.fatal) for error in client.got(Error)] == [("decode_failed", False)]
        assert [message.utterance for message in client.finals] == [2]


async def test_an_utterance_whose_early_final_and_final_both_fail_is_one_gap() -> None:
    engine = FakeEngine()
    async with live_server(engine) as live, live.client() as client:
        ready = await client.start(interim="off")
        engine.fail_jobs(f"{ready.session}/0", "bad_job", "bad_job")
        paused = 46_000  # speech ends at 2.5 s, half of the silence that ends it at 2.75 s, all of it at 3 s
        engine.hold_steps()
        await client.send_audio(pcm(SENTENCES[:paused]))
        await engine.stepping.wait()
        engine.release_steps()
        await client.send_audio(pcm(SENTENCES[paused:]), first_sample=paused)
        await client.send(Stop())
        assert await client.rest() == 1000
        assert [job.kind for batch in engine.batches for job in batch][:2] == ["early_final", "final"]
        assert [gap.reason for gap in client.got(Gap)] == ["lost"]
        assert [message.utterance for message in client.finals] == [2]


async def test_an_early_final_is_the_final_that_the_client_gets() -> None:
    engine = FakeEngine()
    async with live_server(engine) as live, live.client() as client:
        await client.start(interim="off")
        paused = 46_000
        await client.send_audio(pcm(SENTENCES[:paused]))
        await client.send(Marker(id="paused"))
        await client.until(MarkerEcho)
        await client.send_audio(pcm(SENTENCES[paused:50_000]), first_sample=paused)
        final = await client.until(Transcript, final=True)
        assert final.text
        assert [job.kind for batch in engine.batches for job in batch] == ["early_final"]


async def test_a_client_that_disappears_frees_everything() -> None:
    async with live_server() as live:
        async with live.client() as client:
            await client.start()
            await client.send_audio(pcm(SENTENCES[:32_000]))
            await client.until(Transcript)
            assert len(live.service.sessions) == 1
            client.socket.transport.abort()
        assert await live.service.wait_until_empty(5)
        assert live.engine.open_streams() == set()


async def test_audio_far_ahead_of_the_engine_waits_in_the_clients_socket_and_nothing_is_lost() -> None:
    """Ten minutes pushed at once while the engine stands still: the session holds about one, and all is transcribed."""
    engine = FakeEngine()
    clip = pcm(speech((0.0, 9.0), total_s=10.0))
    async with live_server(engine) as live, live.client(write_limit=1 << 16) as client:
        await client.start(interim="off")
        engine.hold_steps()

        async def push() -> None:
            for n in range(60):
                await client.send_audio(clip, first_sample=n * 160_000)
            await client.send(Stop())

        pushing = asyncio.create_task(push())
        await client.until(Speech, state="ended", utterance=6)
        (runner,) = live.service.sessions
        assert runner.backlog_samples < 62 * 16_000
        await asyncio.sleep(0)
        engine.release_steps()
        assert await client.rest() == 1000
        await pushing
        assert [message.utterance for message in client.finals] == list(range(1, 61))
        assert client.received[-1].audio_ms == 600_000


async def test_a_client_that_asks_much_and_reads_it_is_not_taken_for_a_slow_reader() -> None:
    settings = SessionSettings(outbox_messages=8)
    async with live_server(session=settings) as live, live.client() as client:
        await client.start()
        await client.send(*(Marker(id=str(n)) for n in range(2000)), Stop())
        assert await client.rest() == 1000
        assert [echo.id for echo in client.got(MarkerEcho)] == [str(n) for n in range(2000)]


async def test_a_full_house_refuses_the_next_session_for_a_while() -> None:
    async with live_server(max_sessions=1) as live, live.client() as first:
        await first.start()
        async with live.client() as second:
            with pytest.raises(ConnectionClosed):
                await second.start()
            (error,) = second.received
            assert (error.code, error.retryable, error.seq) == ("overloaded", True, -1)
            assert error.retry_after_ms > 0
            assert second.socket.close_code == 1013
        assert (await first.until(Load)).level == "refusing"


async def test_room_for_another_session_is_announced_too() -> None:
    async with live_server(max_sessions=2) as live, live.client() as first:
        await first.start()
        async with live.client() as second:
            await second.start()
            assert (await first.until(Load)).level == "refusing"
            await second.send(Stop())
            assert await second.rest() == 1000
        assert (await first.until(Load)).level == "normal"


async def test_no_session_before_the_model_is_loaded() -> None:
    async with live_server(start_engine=False) as live, live.client() as client:
        with pytest.raises(ConnectionClosed):
            await client.start()
        assert client.received[-1].code == "engine_unavailable"
        assert client.socket.close_code == 1013


async def test_draining_gives_open_speech_its_final_and_refuses_new_sessions() -> None:
    async with live_server() as live, live.client() as client, live.client() as late:
        await client.start()
        await client.send_audio(pcm(SENTENCES[:32_000]))
        await client.until(Transcript)
        draining = asyncio.create_task(live.service.drain(0.2))
        goaway = await client.until(GoAway)
        assert goaway.deadline_ms == 200
        with pytest.raises(ConnectionClosed):
            await late.start()
        assert late.received[-1].code == "draining"
        assert await client.rest() == 1012
        assert len(client.finals) == 1
        assert isinstance(client.received[-1], Summary)
        await draining


async def test_no_start_in_time_and_no_word_for_too_long() -> None:
    async with live_server(start_timeout_s=0.1) as live, live.client() as client:
        assert await client.rest() == 4408
        assert client.received[-1].code == "start_timeout"
    async with live_server(idle_timeout_s=1) as live, live.client() as client:
        await client.start()
        assert await client.rest() == 4408
        assert client.received[-1].code == "idle_timeout"
