"""The list of what is live: for those who show a key, or for this machine alone."""

import httpx
import pytest

from streaming.config import AuthSettings
from streaming.protocol.messages import Ack, AudioFormat, CallOptions, Stop
from tests.support.live import live_server, pcm
from tests.support.sessions import speech

KEY = "a-key-of-the-board"
AUTH = AuthSettings(keys=(KEY,))


async def test_live_sessions_are_listed_and_ended_ones_are_not() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        assert (await http.get("/v1/sessions")).json() == {"sessions": [], "live": 0}
        async with live.client() as call, live.client() as speaker:
            audio = AudioFormat(channels=2, labels=["agent", "customer"])
            first = (await call.start(audio=audio, call=CallOptions())).session
            await call.send_audio(pcm(speech(total_s=2.0)), 4)
            second = (await speaker.start()).session
            await speaker.send(Stop())
            listed = (await http.get("/v1/sessions")).json()
            assert listed["live"] == len(listed["sessions"])
            by_id = {one["session"]: one for one in listed["sessions"]}
            assert by_id[first]["audio"]["labels"] == ["agent", "customer"]
            assert by_id[first]["call"] is True
            await speaker.rest()
        assert second not in str((await http.get("/v1/sessions")).json())


async def test_a_list_says_how_much_was_heard_and_begins_with_the_youngest() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        async with live.client() as older, live.client() as younger:
            for client, heard_s in ((older, 1.5), (younger, 0.5)):
                await client.start()
                await client.send_audio(pcm(speech(total_s=heard_s)))
                await client.has(Ack, sample=round(heard_s * 16_000))
            listed = (await http.get("/v1/sessions")).json()["sessions"]
        assert [one["seconds"] for one in listed] == [0.5, 1.5]


async def test_where_there_are_keys_one_is_wanted() -> None:
    async with live_server(auth=AUTH) as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        assert (await http.get("/v1/sessions")).status_code == 401
        shown = {"Authorization": f"Bearer {KEY}", "Host": "captions.example"}
        assert (await http.get("/v1/sessions", headers=shown)).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8765", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("captions.example", 403),
        ("127.0.0.1.evil", 403),
    ],
)
async def test_without_keys_only_this_machine_by_its_own_names_may_ask(host: str, status: int) -> None:
    """A proxy names another host, and so does a page whose name was pointed here."""
    async with live_server() as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        assert (await http.get("/v1/sessions", headers={"Host": host})).status_code == status


async def test_a_service_that_is_open_to_others_lists_nothing_without_keys() -> None:
    async with live_server(auth=AuthSettings(open=True)) as live, httpx.AsyncClient() as http:
        assert (await http.get(f"http://{live.host}/v1/sessions")).status_code == 403


async def test_pages_of_other_origins_are_refused() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        answer = await http.get("/v1/sessions", headers={"Origin": "https://elsewhere.example"})
        assert answer.status_code == 403
