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
from tests.support.browser import Tab, launched, tab
from tests.support.resumable_server import Connection, ResumableServer, serving

pytestmark = pytest.mark.timeout(120)

HERE = Path(__file__).parent
WEB = HERE.parents[1] / "clients" / "web"
TYPES = {".js": "text/javascript", ".html": "text/html", ".css": "text/css", ".svg": "image/svg+xml"}
CLIP = HERE.parent / "data" / "question.flac"
RATE = 16_000


def answer_http(_: ServerConnection, request: Request) -> Response | None:
    """The page's files, those beside this test, and an empty page."""
    path = request.path.partition("?")[0].lstrip("/")
    if path == "v1/stream":
        return None
    places = [WEB / path, HERE / path] if path else [WEB / "page" / "index.html"]
    file = next((place for place in places if place.is_file()), None)
    if path == "empty":
        return _response(http.HTTPStatus.OK, b"<!doctype html><link rel=icon href=data:,>", "text/html")
    if file is None:
        return _response(http.HTTPStatus.NOT_FOUND, b"", "text/plain")
    return _response(http.HTTPStatus.OK, file.read_bytes(), TYPES[file.suffix])


def _response(status: http.HTTPStatus, body: bytes, kind: str) -> Response:
    headers = Headers([("Content-Type", kind), ("Content-Length", str(len(body)))])
    return Response(status, status.phrase, headers, body)


class Browser:
    """One tab on whatever server the test scripts: the server is put in the place of the one before."""

    def __init__(self, opened: Tab, url: str, holder: list[ResumableServer]) -> None:
        self.tab = opened
        self._url = url
        self._holder = holder

    async def on(self, server: ResumableServer, path: str = "") -> Tab:
        self._holder[:] = [server]
        self.tab.problems.clear()
        await self.tab.page.goto(f"http://{self._url}/{path}")
        return self.tab

    async def run(self, server: ResumableServer, script: str) -> Any:
        """The value of the body of an async function in which the client's modules are at hand."""
        opened = await self.on(server, "empty")
        return await opened.evaluate(
            "async () => { const { TympanClient, TympanError } = await import('/sdk/index.js'); "
            "const { Backoff, closedError, leaveAfterMs } = await import('/sdk/reconnect.js'); "
            "const { ResumableSession } = await import('/sdk/resume.js'); "
            f"{script} }}"
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    holder: list[ResumableServer] = [ResumableServer()]

    async def current(socket: ServerConnection) -> None:
        await holder[0](socket)

    async with (
        serving(current, answer_http) as url,
        launched() as chromium,
        tab(chromium, f"http://{url}/empty") as opened,
    ):
        yield Browser(opened, url, holder)


in_one_loop = pytest.mark.asyncio(loop_scope="module")

STREAM = """
    const samples = Int16Array.from({ length: 4 * 16000 }, (_, i) => i);
    const told = [];
    const session = new TympanClient(SETTINGS);
    session.addEventListener('message', ({ detail }) => told.push(detail));
    const ended = new Promise((resolve) => {
        session.addEventListener('end', ({ detail: { error } }) => resolve(error && error.code));
    });
    await session.connect({ sampleRate: 16000 });
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
            const session = new ResumableSession({ sampleRate: 16000 });
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
        const session = new TympanClient({ onOverflow: 'drop' });
        session.addEventListener('message', ({ detail }) => told.push(detail));
        const ended = new Promise((resolve) => session.addEventListener('end', resolve));
        const away = new Promise((resolve) => session.addEventListener('reconnecting', resolve));
        await session.connect({ sampleRate: 16000 });
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
async def test_two_channels_keep_their_clock_and_their_labels(browser: Browser) -> None:
    server = ResumableServer(Connection(cut_at=RATE + 100))
    script = """
        const samples = Int16Array.from({ length: 4 * 16000 }, (_, i) => i);
        const client = new TympanClient();
        const ended = new Promise((resolve) => client.addEventListener('end', resolve));
        await client.connect({ sampleRate: 16000, channels: 2, labels: ['agent', 'customer'] });
        for (let at = 0; at < samples.length; at += 3200) await client.send(samples.subarray(at, at + 3200));
        const { takenMs } = client;
        client.stop();
        await ended;
        return takenMs;
    """
    assert await browser.run(server, script) == 2_000
    assert {start.audio.channels for start in server.starts} == {2}
    assert server.starts[0].audio.labels == ["agent", "customer"]
    assert server.state.pcm == PCM


@in_one_loop
async def test_another_page_goes_on_where_this_one_was(browser: Browser) -> None:
    """What `save` keeps is enough: nothing is lost, though the first page never said goodbye."""
    server = ResumableServer()
    half = STREAM.replace("SETTINGS", "{}").replace("at < samples.length", "at < samples.length / 2")
    first = half[: half.index("session.stop()")] + "return JSON.stringify(session.save());"
    saved = await browser.run(server, first)
    second = f"""
        const saved = {saved};
        const samples = Int16Array.from({{ length: 4 * 16000 }}, (_, i) => i);
        const told = [];
        const client = new TympanClient();
        client.addEventListener('message', ({{ detail }}) => told.push(detail));
        const ended = new Promise((resolve) => client.addEventListener('end', resolve));
        await client.resume(saved);
        await client.send(samples.subarray(samples.length / 2));
        client.stop();
        await ended;
        return [saved.audio.length > 0, told[0].type, told.at(-1).type];
    """
    opened = browser.tab
    result = await opened.evaluate(
        f"async () => {{ const {{ TympanClient }} = await import('/sdk/index.js'); {second} }}"
    )
    assert result[1:] == ["reconnected", "summary"]
    assert server.state.pcm == PCM
    assert len(server.starts) == 2


@in_one_loop
async def test_a_key_is_asked_for_before_each_connection(browser: Browser) -> None:
    server = ResumableServer(Connection(cut_at=RATE))
    asked = STREAM.replace("SETTINGS", "{ token: (why) => { asked.push(why.refused); return `key-${asked.length}`; } }")
    script = "const asked = [];" + asked.replace("return { error, told }", "return { error, told, asked }")
    result = await browser.run(server, script)
    check_whole(server, result)
    assert result["asked"] == [False, False]


@in_one_loop
async def test_the_page_says_so_quietly_and_goes_on_in_the_same_captions(browser: Browser) -> None:
    refusal = messages.Error(code="draining", message="later", retryable=True, retry_after_ms=400)
    server = ResumableServer(Connection(cut_at=RATE), Connection(refusal=refusal))
    opened = await browser.on(server)
    await opened.evaluate("() => document.getElementById('audible').click()")
    await opened.page.set_input_files("#file", CLIP)
    await opened.state("reconnecting")
    assert (await opened.page.inner_text("#state")).startswith("Reconnecting …")
    assert await opened.page.is_hidden("#trouble")
    await opened.state("idle")
    count = server.state.position // 8000
    assert (await opened.words()).split() == [f"w{number}" for number in range(1, count + 1)]
    assert await opened.page.is_hidden("#trouble")
