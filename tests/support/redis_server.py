"""A real redis-server on a free port of this machine, that tests may stop, freeze and kill."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import redis

START_TIMEOUT_S = 30.0
POLL_S = 0.01
CLUSTER_SLOTS = 16_384


def redis_binary() -> str:
    """The server's command. Without one the test is skipped, but fails where CI is set: there it must be installed."""
    found = shutil.which("redis-server")
    if found is None:
        reason = "no Redis is installed: apt-get install redis-server"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """Order of calls: `start`, then the others; `kill` at the end. Keeps its port over its lives.

    Args:
        folder: for its data and its log.
        password: of the default user.
        options: further arguments of redis-server, as "--maxmemory", "20mb".
        durable: each write is on disk before it is answered, so that `start` after `kill` finds it again.
    """

    def __init__(self, folder: Path, *options: str, password: str = "", durable: bool = False) -> None:
        self.port = free_port()
        self._folder = folder
        self._password = password
        self._arguments = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        self._arguments += ["--requirepass", password] if password else []
        self._arguments += options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return (
            f"redis://:{self._password}@127.0.0.1:{self.port}" if self._password else f"redis://127.0.0.1:{self.port}"
        )

    def client(self) -> redis.Redis:
        """For a look from the side. It blocks."""
        return redis.Redis(port=self.port, password=self._password or None, decode_responses=True, protocol=2)

    def start(self) -> None:
        """Returns when it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder),
                 "--save", "", *self._arguments],
                stdout=log, stderr=log,
            )  # fmt: skip
        until_s = time.monotonic() + START_TIMEOUT_S
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if self._process.poll() is not None or time.monotonic() > until_s:
                        text = (self._folder / "redis.log").read_text(errors="replace")
                        raise AssertionError(f"redis-server did not start:\n{text}") from None
                    time.sleep(POLL_S)

    def stop(self) -> None:
        """An orderly end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """At once, wherever it stands; also where it is frozen or has ended already."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """It takes connections and bytes, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self, *, empty: bool = False) -> None:
        """Killed and started again: with what it had on disk, or as a new one."""
        self.kill()
        if empty:
            shutil.rmtree(self._folder)
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class ClusterNode(RedisServer):
    """A cluster of one server, which holds all slots."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
        super().__init__(folder, *options, durable=durable)

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.port}"

    def start(self) -> None:
        super().start()
        with self.client() as client:
            if client.execute_command("CLUSTER INFO")["cluster_slots_assigned"] == "0":
                client.execute_command("CLUSTER ADDSLOTSRANGE", 0, CLUSTER_SLOTS - 1)
            until_s = time.monotonic() + START_TIMEOUT_S
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                assert time.monotonic() < until_s, "the cluster did not come up"
                time.sleep(POLL_S)


_Server = TypeVar("_Server", bound=RedisServer)


@contextlib.contextmanager
def running(server: _Server) -> Iterator[_Server]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def shared_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """For all tests together; `redis_server` is what they ask for."""
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis_server: RedisServer) -> RedisServer:
    """An empty server. Do not stop it: `own_redis_server` is for that."""
    with shared_redis_server.client() as client:
        client.flushall()
    return shared_redis_server


@pytest.fixture
def own_redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may freeze, kill and restart; it forgets everything at its end."""
    with running(RedisServer(tmp_path / "redis")) as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterNode]:
    with running(ClusterNode(tmp_path_factory.mktemp("cluster"))) as node:
        yield node
