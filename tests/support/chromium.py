"""A headless Chromium, driven through the DevTools protocol: just what the page's tests need."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--autoplay-policy=no-user-gesture-required",
)
ANNOUNCEMENT = b"DevTools listening on "
START_TIMEOUT_S = 30.0
POLL_MS = 50


def chromium() -> str | None:
    """The browser's command, or None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class PageError(AssertionError):
    """A script in the page failed."""


class Page:
    """One tab. `problems` collects uncaught exceptions, failed requests and refusals of the security policy."""

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._ids = itertools.count(100)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.problems: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        call_id = next(self._ids)
        answer = self._answers[call_id] = asyncio.get_running_loop().create_future()
        message = {"id": call_id, "sessionId": self._session, "method": method, "params": params}
        await self._socket.send(json.dumps(message))
        return await answer

    async def evaluate(self, script: str) -> Any:
        """The value of an expression, as if the user had caused it; promises are awaited."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise PageError(answer["exceptionDetails"].get("exception", {}).get("description", answer))
        return answer["result"].get("value")

    async def wait_for(self, condition: str, timeout_s: float = 30.0) -> Any:
        """The first value of the expression that is true. Raises PageError with the page's text when none comes."""
        script = f"""new Promise((resolve) => {{
            const end = performance.now() + {timeout_s * 1000};
            const look = () => {{
                const value = {condition};
                if (value || performance.now() > end) resolve(value || null);
                else setTimeout(look, {POLL_MS});
            }};
            look();
        }})"""
        value = await self.evaluate(script)
        if value is None:
            text = await self.evaluate("document.body.innerText")
            raise PageError(
                f"{condition} did not come true in {timeout_s:g} s; {self.problems}; the page says:\n{text}"
            )
        return value

    async def click(self, element_id: str) -> None:
        await self.evaluate(f"document.getElementById('{element_id}').click()")

    async def choose_file(self, selector: str, path: Path) -> None:
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    async def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Sets the window's size and the preferred colours."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self) -> bytes:
        """A PNG of what is visible."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])

    def receive(self, message: dict[str, Any]) -> None:
        if "id" in message:
            answer = self._answers.pop(message["id"], None)
            if answer and not answer.done():
                if "error" in message:
                    answer.set_exception(PageError(message["error"]["message"]))
                else:
                    answer.set_result(message["result"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(message["params"]["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.problems.append(message["params"]["entry"]["text"])


@contextlib.asynccontextmanager
async def browsing(profile: Path, *flags: str) -> AsyncIterator[Page]:
    """An empty tab of a browser of its own, with a fresh profile in the folder `profile`."""
    command = chromium()
    assert command is not None
    process = await asyncio.create_subprocess_exec(
        command, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            address = await _address(process)
        drain = asyncio.create_task(_drain(process))
        async with connect(address, max_size=None, compression=None) as socket:
            page = Page(socket, await _new_tab(socket))
            reader = asyncio.create_task(_read(socket, page))
            for domain in ("Page", "Runtime", "Log", "DOM"):
                await page.call(f"{domain}.enable")
            yield page
            reader.cancel()
        drain.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if line.startswith(ANNOUNCEMENT):
            return line.removeprefix(ANNOUNCEMENT).decode().strip()
    raise PageError("the browser ended before it could be driven")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.readline():
        pass


async def _new_tab(socket: ClientConnection) -> str:
    """The session id of a new tab."""
    await socket.send(json.dumps({"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
    target = (await _answer(socket, 1))["targetId"]
    params = {"targetId": target, "flatten": True}
    await socket.send(json.dumps({"id": 2, "method": "Target.attachToTarget", "params": params}))
    session: str = (await _answer(socket, 2))["sessionId"]
    return session


async def _answer(socket: ClientConnection, call_id: int) -> dict[str, Any]:
    while True:
        message = json.loads(await socket.recv())
        if message.get("id") == call_id:
            result: dict[str, Any] = message["result"]
            return result


async def _read(socket: ClientConnection, page: Page) -> None:
    async for payload in socket:
        page.receive(json.loads(payload))
