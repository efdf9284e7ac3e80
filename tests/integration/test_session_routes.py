"""What is told of a session over plain HTTP, to whom, and what is not."""

from __future__ import annotations

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from streaming.protocol.messages import Stop, Transcript
from tests.support.gateways import Door, gateway
from tests.support.live import live_server, pcm
from tests.support.logs import SESSION, SUMMARY, TOKEN, LogStore, final, interim, started
from tests.support.sessions import speech


@pytest.mark.parametrize(("origin", "allowed"), [("http://evil.example", False), ("https://ok.example", True)])
async def test_pages_of_other_origins_may_not_read_unless_listed(origin: str, allowed: bool) -> None:
    store = LogStore()
    store.say(SUMMARY)
    async with gateway(store, allowed_origins=("https://ok.example",)) as here, here.http() as http:
        for place in ("", "/watch", "/transcript.vtt"):
            answer = await http.get(f"/v1/sessions/{SESSION}{place}", headers={"Origin": origin})
            assert answer.status_code == (200 if allowed else 403)
            assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
        if allowed:
            async with here.viewer(origin=origin) as viewer:
                assert (await viewer.read())["type"] == "watching"
        else:
            with pytest.raises(InvalidStatus) as refused:
                async with here.viewer(origin=origin):
                    pass
            assert refused.value.response.status_code == 403


async def test_what_is_known_of_a_session() -> None:
    store = LogStore()
    store.say(started(1), final(1, "Good morning."), interim(2, "how", channel=1))
    async with gateway(store) as here, here.http() as http:
        answer = await http.get(f"/v1/sessions/{SESSION}")
        assert answer.json() == {
            "session": SESSION,
            "state": "live",
            "audio": {"encoding": "s16le", "sample_rate": 16000, "channels": 2, "labels": ["agent", "customer"]},
            "tasks": [
                {
                    "name": "transcribe",
                    "language": None,
                    "target": None,
                    "style": None,
                    "written": False,
                    "question": None,
                }
            ],
            "interim": "stable",
            "redact": [],
            "seconds": 1.0,
            "utterances": 2,
            "first_seq": 1,
            "last_seq": 3,
            "durable": False,
        }
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        store.say(SUMMARY)
        ended = (await http.get(f"/v1/sessions/{SESSION}")).json()
        assert (ended["state"], ended["seconds"]) == ("ended", 2.5)


async def test_a_transcript_in_every_form() -> None:
    store = LogStore()
    store.say(final(1, "Good morning."), interim(2, "how are", channel=1))
    async with gateway(store) as here, here.http() as http:

        async def get(form: str, **params: str) -> httpx.Response:
            return await http.get(f"/v1/sessions/{SESSION}/transcript.{form}", params=params)

        text = await get("txt")
        assert (text.text, text.headers["content-type"]) == ("agent: Good morning.\n", "text/plain; charset=utf-8")
        assert (await get("txt", interim="1")).text.splitlines() == ["agent: Good morning.", "customer: how are"]
        srt = await get("srt")
        assert srt.headers["content-type"] == "application/x-subrip; charset=utf-8"
        assert srt.text == "1\n00:00:00,000 --> 00:00:00,700\nagent: Good morning.\n"
        vtt = await get("vtt")
        assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"
        assert "<v agent>Good morning." in vtt.text
        whole = (await get("json", interim="true")).json()
        assert [(one["label"], one["text"], one["final"]) for one in whole["utterances"]] == [
            ("agent", "Good morning.", True),
            ("customer", "how are", False),
        ]
        assert whole["utterances"][0]["words"][0] == {
            "text": "Good",
            "start_ms": 0,
            "end_ms": 300,
            "confidence": 0.9,
            "state": "final",
            "glued": False,
        }
        assert (await get("json", interim="maybe")).json()["code"] == "unsupported"
        assert (await get("pdf")).status_code == 404
        for answer in (text, srt, vtt):
            assert answer.headers["cache-control"] == "no-store"


async def test_nothing_reveals_the_resume_token() -> None:
    store = LogStore()
    store.say(final(1, "One."), SUMMARY)
    async with gateway(store) as here, here.http() as http:
        for place in ("", "/watch", "/transcript.json", "/transcript.txt"):
            assert TOKEN not in (await http.get(f"/v1/sessions/{SESSION}{place}")).text
        async with here.viewer() as viewer:
            assert TOKEN not in str((await viewer.rest())[0])


async def test_a_session_that_is_spoken_here_is_seen_as_its_client_sees_it() -> None:
    """The gateway's own session, through the store: the same words, and the client's token is told to nobody else."""
    async with live_server() as live, live.client("json") as client:
        ready = await client.start()
        door = Door(live.server.port)
        async with door.viewer(session=ready.session) as viewer:
            await client.send_audio(pcm(speech((0.5, 1.5), total_s=3.0)))
            text = (await client.until(Transcript, final=True)).text
            async with door.http() as http:
                shown = await http.get(f"/v1/sessions/{ready.session}/transcript.txt")
                assert shown.text == f"{text}\n"
            await client.send(Stop())
            assert await client.rest() == 1000
            messages, code = await viewer.rest()
        assert code == 1000
        assert [message["type"] for message in messages][-1] == "summary"
        assert text in [message.get("text") for message in messages]
        assert ready.resume_token is None or ready.resume_token not in str(messages)
