"""The browser's client over connections that break: its pure part by itself, and the page on a scripted server."""

import http
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.server import Request, Response, ServerConnection
from websockets.datastructures import Headers

from streaming.protocol import messages
from tests.support.chromium import Page, browsing, chromium
from tests.support.resumable_server import Connection, ResumableServer, serving

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="no Chromium is installed: apt-get install chromium"),
    pytest.mark.timeout(120),
]

HERE = Path(__file__).parent
FOLDERS = (HERE.parents[1] / "clients" / "web", HERE)
TYPES = {".js": "text/javascript", ".html": "text/html", ".css": "text/css", ".svg": "image/svg+xml"}
CLIP = HERE.parent / "data" / "question.flac"
STATE = "document.getElementById('state').dataset.state"
RATE = 16_000


def answer_http(_: ServerConnection, request: Request) -> Response | None:
    """The page's files, and those beside this test."""
    if request.path == "/v1/stream":
        return None
    name = request.path.partition("?")[0].lstrip("/") or "index.html"
    file = next((folder / name for folder in FOLDERS if (folder / name).is_file()), None)
    if file is None:
        return Response(http.HTTPStatus.NOT_FOUND, "Not Found", Headers([("Content-Length", "0")]))
    body = file.read_bytes()
    headers = Headers([("Content-Type", TYPES[file.suffix]), ("Content-Length", str(len(body)))])
    return Response(http.HTTPStatus.OK, "OK", headers, body)


class Browser:
    """One page on whatever server the test scripts: the server is put in the place of the one before."""

    def __init__(self, page: Page, url: str, holder: list[ResumableServer]) -> None:
        self.page = page
        self._url = url
        self._holder = holder

    async def on(self, server: ResumableServer) -> Page:
        self._holder[:] = [server]
        self.page.problems.clear()
        await self.page.call("Page.navigate", url=f"http://{self._url}/?{id(server)}")
        await self.page.wait_for("document.readyState === 'complete' && document.getElementById('microphone')")
        return self.page

    async def run(self, server: ResumableServer, script: str) -> Any:
        """The value of the body of an async function in which the client's modules are at hand."""
        page = await self.on(server)
        return await page.evaluate(
            "(async () => { const { TympanSession } = await import('/client.js'); "
            "const { ResumableSession, Backoff, TympanError, closedError, leaveAfterMs } = await import('/resume.js'); "
            "const url = `ws://${location.host}/v1/stream`; "
            f"{script} }})()"
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    holder: list[ResumableServer] = [ResumableServer()]

    async def current(socket: ServerConnection) -> None:
        await holder[0](socket)

    async with (
        serving(current, answer_http) as url,
        browsing(tmp_path_factory.mktemp("browser") / "profile") as page,
    ):
        yield Browser(page, url, holder)


in_one_loop = pytest.mark.asyncio(loop_scope="module")

STREAM = """
    const samples = Int16Array.from({ length: 4 * 16000 }, (_, i) => i);
    const told = [];
    const session = new TympanSession(SETTINGS);
    session.onevent = (message) => told.push(message);
    const ended = new Promise((resolve) => { session.onend = (error) => resolve(error && error.code); });
    await session.open(url, 16000);
    for (let at = 0; at < samples.length; at += 1600) await session.send(samples.subarray(at, at + 1600));
    session.stop();
    const error = await ended;
    return { error, told };
"""
PCM = b"".join((i & 0xFFFF).to_bytes(2, "little") for i in range(4 * RATE))


def check_whole(server: ResumableServer, result: dict[str, Any]) -> list[dict[str, Any]]:
    """All audio arrived once, and each numbered message was told once. Gives what the client said itself."""
    assert result["error"] is None
    assert (server.state.pcm, server.state.gaps) == (PCM, [])
    numbers = [message["seq"] for message in result["told"] if "seq" in message]
    assert numbers == list(range(1, len(numbers) + 1))
    return [message for message in result["told"] if message["type"] in ("reconnecting", "reconnected")]


@in_one_loop
async def test_everything_arrives_once_and_in_order_over_a_lossy_link(browser: Browser) -> None:
    script = """
        const { run } = await import('/lossy_link.js');
        for (let seed = 0; seed < 2000; seed++) { const wrong = run(seed); if (wrong) return wrong; }
        return '';
    """
    assert await browser.run(ResumableServer(), script) == ""


@in_one_loop
async def test_delays_double_with_full_jitter_and_end_with_the_window(browser: Browser) -> None:
    script = """
        const lost = new TympanError('connection_lost', '', true);
        const backoff = new Backoff(60000);
        const doubling = [1, 1, 1, 1, 1, 1, 0.5, 0].map((chance) => backoff.delay(lost, 0, chance));
        const over = backoff.delay(lost, 60000, 1);
        const later = new Backoff(1000).delay(new TympanError('overloaded', '', true, 300), 0, 0.5);
        const tooLate = new Backoff(1000).delay(new TympanError('overloaded', '', true, 1300), 0, 0.5);
        const never = new Backoff(1000).delay(new TympanError('no_session', ''), 0, 0.5);
        const steady = new Backoff(20000);
        const unsteady = new Backoff(20000);
        for (const one of [steady, unsteady]) { one.delay(lost, 0, 1); one.connected(5000); }
        const acknowledged = new Backoff(20000);
        for (const at of [0, 9000, 18000]) { acknowledged.delay(lost, at, 1); acknowledged.acknowledged(); }
        return [doubling, over, later, tooLate, never, steady.delay(lost, 15000, 1), unsteady.delay(lost, 14000, 1),
            acknowledged.delay(lost, 27000, 1), leaveAfterMs(30000, 0.5)];
    """
    assert await browser.run(ResumableServer(), script) == [
        [200, 400, 800, 1600, 3200, 5000, 2500, 0], None, 400, None, None, 200, 400, 200, 7500,
    ]  # fmt: skip


@in_one_loop
async def test_a_close_without_a_word_is_a_loss_unless_its_code_is_of_the_table(browser: Browser) -> None:
    script = """return [[1006, ''], [1012, 'restart'], [4409, 'taken_over'], [4429, 'slow_reader'], [4999, '']]
        .map(([code, reason]) => closedError(code, reason)).map(({ code, retryable }) => [code, retryable]);"""
    assert await browser.run(ResumableServer(), script) == [
        ["connection_lost", True],
        ["connection_lost", True],
        ["taken_over", False],
        ["slow_reader", True],
        ["connection_lost", False],
    ]


@in_one_loop
async def test_an_answer_is_due_for_audio_and_for_stop_but_not_in_a_pause(browser: Browser) -> None:
    script = """
        const ready = { type: 'ready', session: 's', resume_token: 't', max_message_bytes: 1e6 };
        const make = (more = () => {}) => {
            const session = new ResumableSession(16000);
            session.receive(ready, 0);
            more(session);
            while (session.next(1000) !== null);
            return session;
        };
        const second = new Int16Array(16000);
        const silentAt = (session) => [10000, 11001, 31001].map((now) => session.isSilent(now, 10000));
        return [
            silentAt(make()),
            silentAt(make((session) => session.audio(second.subarray(0, 8000)))),
            silentAt(make((session) => session.audio(second))),
            silentAt(make((session) => session.command({ type: 'stop' }))),
            silentAt(make((session) => {
                session.receive({ type: 'load', durable: false }, 0);
                session.audio(second);
            })),
        ];
    """
    never = [False, False, False]
    assert await browser.run(ResumableServer(), script) == [
        never, never, [False, True, True], [False, False, True], never,
    ]  # fmt: skip


@in_one_loop
async def test_a_cut_in_the_middle_is_only_told_of(browser: Browser) -> None:
    server = ResumableServer(Connection(cut_at=RATE + 100), Connection(cut_on_stop=True))
    result = await browser.run(server, STREAM.replace("SETTINGS", "{}"))
    said = check_whole(server, result)
    assert [message["type"] for message in said] == ["reconnecting", "reconnected"] * 2
    assert [said[0]["reason"], said[0]["attempt"], said[1]["lost_ms"]] == ["connection_lost", 1, 0]


@in_one_loop
async def test_a_refusal_is_waited_for_as_long_as_it_says(browser: Browser) -> None:
    refusal = messages.Error(code="overloaded", message="full", retryable=True, retry_after_ms=150)
    server = ResumableServer(Connection(cut_at=RATE), Connection(refusal=refusal))
    said = check_whole(server, await browser.run(server, STREAM.replace("SETTINGS", "{}")))
    assert [said[1]["reason"], said[1]["attempt"]] == ["overloaded", 2]
    assert said[1]["delay_ms"] >= 150


@in_one_loop
async def test_a_server_that_falls_silent_is_given_up(browser: Browser) -> None:
    server = ResumableServer(Connection(silent_at=RATE))
    said = check_whole(server, await browser.run(server, STREAM.replace("SETTINGS", "{ silenceMs: 300 }")))
    assert [message["type"] for message in said] == ["reconnecting", "reconnected"]


@in_one_loop
async def test_a_server_that_drains_is_left_before_its_deadline(browser: Browser) -> None:
    server = ResumableServer(Connection(goaway_at=RATE // 2), deadline_ms=400)
    paced = "1600)); await new Promise((resolve) => setTimeout(resolve, 20)); }"
    script = STREAM.replace("SETTINGS", "{}").replace("+= 1600) await", "+= 1600) { await").replace("1600));", paced)
    said = check_whole(server, await browser.run(server, script))
    assert said[0]["reason"] == "goaway"
    assert server.left_in_time


@in_one_loop
@pytest.mark.parametrize(("settings", "code"), [("{}", "no_session"), ("{ reconnect: false }", "connection_lost")])
async def test_a_session_that_is_gone_ends_in_its_error(browser: Browser, settings: str, code: str) -> None:
    refusal = messages.Error(code="no_session", message="gone")
    server = ResumableServer(Connection(cut_at=RATE), Connection(refusal=refusal))
    assert (await browser.run(server, STREAM.replace("SETTINGS", settings)))["error"] == code


@in_one_loop
async def test_it_gives_up_when_the_window_is_over(browser: Browser) -> None:
    refusal = messages.Error(code="draining", message="later", retryable=True)
    server = ResumableServer(Connection(cut_at=RATE), *[Connection(refusal=refusal) for _ in range(50)])
    result = await browser.run(server, STREAM.replace("SETTINGS", "{ resumeWindowMs: 500 }"))
    assert result["error"] == "draining"


@in_one_loop
async def test_a_microphone_never_waits_and_the_gap_is_what_is_lost(browser: Browser) -> None:
    refusal = messages.Error(code="draining", message="later", retryable=True, retry_after_ms=500)
    server = ResumableServer(Connection(cut_at=RATE), Connection(refusal=refusal))
    script = """
        const told = [];
        const session = new TympanSession({ onOverflow: 'drop' });
        const ended = new Promise((resolve) => { session.onend = resolve; });
        const away = new Promise((resolve) => {
            session.onevent = (message) => { told.push(message); if (message.type === 'reconnecting') resolve(); };
        });
        await session.open(url, 16000);
        await session.send(new Int16Array(16000));
        await away;
        for (let second = 0; second < 39; second++) await session.send(new Int16Array(16000));
        session.stop();
        await ended;
        return told.filter(({ type }) => type === 'reconnected').map(({ lost_ms }) => lost_ms);
    """
    assert await browser.run(server, script) == [10_000]
    assert server.state.gaps == [(0, 10 * RATE)]
    assert server.state.position == 40 * RATE


@in_one_loop
async def test_the_page_says_so_quietly_and_goes_on_in_the_same_captions(browser: Browser) -> None:
    refusal = messages.Error(code="draining", message="later", retryable=True, retry_after_ms=400)
    server = ResumableServer(Connection(cut_at=RATE), Connection(refusal=refusal))
    page = await browser.on(server)
    await page.evaluate("document.getElementById('play').checked = false")
    await page.choose_file("#file", CLIP)
    await page.wait_for(f"{STATE} === 'reconnecting'")
    assert await page.evaluate("document.getElementById('state').textContent") == "Reconnecting …"
    assert await page.evaluate("document.getElementById('said').hidden")
    await page.wait_for(f"{STATE} === 'idle'")
    words = "[...document.querySelectorAll('#settled .utterance')].map((line) => line.textContent)"
    count = server.state.position // 8000
    assert await page.evaluate(words) == [f"w{number}" for number in range(1, count + 1)]
    assert await page.evaluate("document.getElementById('said').hidden")
