"""What else is on the port: health, readiness, metrics and the page."""

import asyncio

import httpx
import pytest

from inference.pool.fake import FakeEngine
from inference.pool.interface import EngineStartError
from streaming.protocol.messages import Stop
from tests.support.live import live_server, pcm
from tests.support.sessions import speech


async def test_health_is_there_before_the_model_and_readiness_says_why_not() -> None:
    async with live_server(start_engine=False) as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        assert (await http.get("/healthz")).status_code == 200
        waiting = await http.get("/readyz")
        assert (waiting.status_code, waiting.json()["status"]) == (503, "starting")
        await live.service.start()
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["model"]) == (200, "fake")
        await live.service.drain(0)
        draining = await http.get("/readyz")
        assert (draining.status_code, draining.json()["status"]) == (503, "draining")


async def test_readiness_repeats_the_sentence_of_an_engine_that_cannot_start() -> None:
    engine = FakeEngine(start_error="The model file is damaged: delete it and start again.")
    async with live_server(engine, start_engine=False) as live:
        starting = asyncio.create_task(live.service.start())
        await asyncio.wait([starting])
        assert isinstance(starting.exception(), EngineStartError)
        async with httpx.AsyncClient(base_url=f"http://{live.host}") as http:
            answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert "damaged" in answer.json()["reason"]


async def test_metrics_count_what_a_session_did() -> None:
    async with live_server() as live:
        async with live.client() as client:
            await client.start()
            await client.send_audio(pcm(speech((0.5, 1.5), total_s=3.0)))
            await client.send(Stop())
            await client.rest()
        async with live.client() as client:
            await client.send(Stop())
            await client.rest()
        async with httpx.AsyncClient(base_url=f"http://{live.host}") as http:
            text = (await http.get("/metrics")).text
        for line in (
            "tympan_sessions 0.0",
            "tympan_sessions_started_total 1.0",
            "tympan_audio_seconds_total 3.0",
            "tympan_utterances_total 1.0",
            "tympan_final_seconds_count 1.0",
            'tympan_errors_total{code="start_expected"} 1.0',
            "tympan_worker_restarts_total 0.0",
        ):
            assert line in text.splitlines()


async def test_the_page_may_only_load_what_is_ours() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        page = await http.get("/")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("/page/app.js", False),
        ("/sdk/client.js", False),
        ("/page/icon.svg", True),
        ("/watch/x", True),
        ("/calls", True),
    ],
)
async def test_what_a_page_loads_has_short_headers_and_pictures_the_policy(path: str, policy: bool) -> None:
    """A picture can be opened as a page, and a picture of SVG has scripts."""
    async with live_server() as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        answer = await http.get(path)
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ("content-security-policy" in answer.headers) is policy


async def test_files_outside_of_the_page_are_not_served() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=f"http://{live.host}") as http:
        for path in ("/../pyproject.toml", "/%2e%2e/pyproject.toml", "/..%2fpyproject.toml"):
            assert (await http.get(path)).status_code == 404
