"""Runs the whole service for a measurement: `tympan serve` on a free loopback port, as a user would start it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

READY = re.compile(r"(http://\S+?)/?\s")
START_PATIENCE_S = 120.0
DRAIN_PATIENCE_S = 20.0


class ServiceError(RuntimeError):
    """The service did not start; the text holds its last words."""


TYMPAN_SERVE = ("streaming.cli.main", "serve", "--port", "0")
TUNED_SERVICE = ("benchmarks.tuned_service", "--engine")


@dataclass(frozen=True, slots=True)
class RunningService:
    address: str
    """http://host:port"""
    pid: int | None = None
    """Of the gateway; None where somebody else started the service."""

    @property
    def stream_url(self) -> str:
        return self.address.replace("http", "ws", 1).rstrip("/") + "/v1/stream"


@contextmanager
def running_service(module: Sequence[str], arguments: Sequence[str] = ()) -> Iterator[RunningService]:
    """Starts a module that says its address when it is ready, and drains it at the end.

    Raises:
        ServiceError: it ended, or was not ready in time.
    """
    command = [sys.executable, "-m", *module, *arguments]
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, start_new_session=True
        )
        assert process.stdout is not None
        try:
            yield RunningService(_address(process, process.stdout, complaints), process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DRAIN_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def _address(process: subprocess.Popen[str], output: IO[str], complaints: IO[str]) -> str:
    late = threading.Timer(START_PATIENCE_S, process.kill)
    late.start()
    try:
        for line in output:
            if match := READY.search(line):
                return match[1]
    finally:
        late.cancel()
    process.wait()
    complaints.seek(0)
    last_words = complaints.read()[-2000:].strip()
    raise ServiceError(f"the service did not get ready (exit code {process.returncode}): {last_words}")
