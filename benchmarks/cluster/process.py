"""One process of the deployment: started, frozen, killed and ended by its id; and what others can see of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
PORTS = range(12_000, 32_000)
"""Below those that systems give to outgoing connections: a port stays free while its process is away."""
POLL_S = 0.05
END_PATIENCE_S = 5.0


class ProcessError(RuntimeError):
    """A process did not come up; the text has its last words."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process id together with when its process began, so that a later one of the same number is not meant."""

    pid: int
    began: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """None: there is no such process."""
        fields = _stat(pid)
        return cls(pid, fields[19]) if fields and fields[0] != "Z" else None

    @property
    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Process:
    """Order of calls: `launch`; `freeze` and `thaw`; `kill` or `terminate`; `launch` again."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def launch(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        answers: Callable[[], Awaitable[bool]],
        within_s: float,
    ) -> None:
        """Returns when it answers. Raises ProcessError."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment},
                start_new_session=True,
            )  # fmt: skip
        try:
            async with asyncio.timeout(within_s):
                while not await answers():
                    if self._process.returncode is not None:
                        raise ProcessError(f"{command[0]} ended at its start:\n{self.last_words}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            await self.kill()
            raise ProcessError(f"{command[0]} did not answer in {within_s:g} s:\n{self.last_words}") from None

    @property
    def pid(self) -> int | None:
        """None while there is none."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    @property
    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:].strip() if self._log.is_file() else ""

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """At once, wherever it stands; also where it is frozen or has ended already."""
        self.signal(signal.SIGKILL)
        await self.wait()

    async def terminate(self, patience_s: float) -> bool:
        """An orderly end; False where it had to be killed."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience_s):
                await self.wait()
        except TimeoutError:
            await self.kill()
            return False
        return True

    async def wait(self) -> None:
        if self._process is not None:
            await self._process.wait()


async def end(process: Identity) -> None:
    """One that is nobody's child any more: it may end by itself, and is killed where it does not."""
    for _ in range(round(END_PATIENCE_S / POLL_S)):
        if not process.alive:
            return
        await asyncio.sleep(POLL_S)
    process.send(signal.SIGKILL)


def free_port() -> int:
    """Raises ProcessError."""
    for port in random.SystemRandom().sample(PORTS, 100):  # whatever has seeded this process
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise ProcessError("no free port was found")


def file_descriptors(pid: int) -> int | None:
    """None where the process is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


async def http_get(port: int, path: str, timeout_s: float) -> tuple[int, str] | None:
    """(status, body); None: no answer in time."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
                return int(head.split(b" ", 2)[1]), body.decode(errors="replace")
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ValueError, IndexError):
        return None


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
