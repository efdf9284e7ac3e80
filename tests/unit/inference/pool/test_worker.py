"""The worker process spoken to frame by frame, as a gateway does, over a socket of the test's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.pool.interface import Job, StepResult, StreamSpec
from inference.pool.wire import (
    HEADER,
    Append,
    Command,
    Failed,
    FrameCodec,
    Open,
    Ping,
    Pong,
    Reply,
    Started,
    Step,
    StepDone,
    Stop,
)

ROOT = Path(__file__).parents[4]
PATIENCE_S = 30


class Gateway:
    """The other end of a worker's socket, blocking."""

    def __init__(self, model: str) -> None:
        self.codec = FrameCodec()
        self.sock, there = socket.socketpair()
        self.sock.settimeout(PATIENCE_S)
        fd = str(there.fileno())
        module = ["-m", "inference.pool.worker", "--engine", "fake", "--device", "cpu"]
        self.process = subprocess.Popen(
            [sys.executable, *module, "--model", model, "--fd", fd],
            pass_fds=(there.fileno(),),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )
        there.close()

    def send(self, *commands: Command) -> None:
        self.sock.sendall(b"".join(self.codec.encode(command) for command in commands))

    def receive(self) -> Reply:
        (length,) = HEADER.unpack(self._exactly(HEADER.size))
        return self.codec.decode_reply(self._exactly(length))

    def exit_status(self) -> int:
        return self.process.wait(PATIENCE_S)

    def error_output(self) -> bytes:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def close(self) -> None:
        self.sock.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _exactly(self, size: int) -> bytes:
        body = b""
        while len(body) < size:
            piece = self.sock.recv(size - len(body))
            assert piece, "the worker closed its socket"
            body += piece
        return body


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A pipe that the fake engine writes to when its step begins to hang."""
    path = tmp_path / "mark"
    os.mkfifo(path)
    return path


@pytest.fixture
def gateways() -> Iterator[list[Gateway]]:
    opened: list[Gateway] = []
    yield opened
    for gateway in opened:
        gateway.close()


def start(gateways: list[Gateway], model: str) -> Gateway:
    gateway = Gateway(model)
    gateways.append(gateway)
    assert isinstance(gateway.receive(), Started)
    return gateway


def hang(gateway: Gateway, mark: Path) -> None:
    """Returns when the worker is within a step that never ends."""
    gateway.send(Step(0, ()))
    with mark.open("rb") as pipe:
        assert pipe.read() == b"!"


def test_commands_run_in_the_order_in_which_they_came(gateways: list[Gateway]) -> None:
    gateway = start(gateways, "fake")
    job = Job("a", 0, 1, "final", 0, 320)
    gateway.send(Step(1, (job,)), Open("a", StreamSpec()), Append("a", 0, 0, bytes(640)), Step(2, (job,)), Stop())
    first, second = gateway.receive(), gateway.receive()
    assert isinstance(first, StepDone)
    assert isinstance(second, StepDone)
    assert (first.id, [error.code for error in first.result.errors]) == (1, ["missing_audio"])
    assert (second.id, len(second.result.hypotheses)) == (2, 1)
    assert gateway.exit_status() == 0


def test_a_ping_is_answered_within_a_step_and_says_how_long_it_has_run(gateways: list[Gateway], mark: Path) -> None:
    """So a hung step is seen while it hangs."""
    gateway = start(gateways, f"hang-once:{mark}")
    gateway.send(Ping(1))
    assert gateway.receive() == Pong(1, 0.0)
    hang(gateway, mark)
    gateway.send(Ping(2), Ping(3))
    second, third = gateway.receive(), gateway.receive()
    assert isinstance(second, Pong)
    assert isinstance(third, Pong)
    assert 0.0 < second.busy_s <= third.busy_s


def test_a_worker_whose_gateway_is_gone_ends_even_within_a_hung_step(gateways: list[Gateway], mark: Path) -> None:
    """The end of its socket is all that a worker gets to know of a gateway that was killed."""
    gateway = start(gateways, f"hang-once:{mark}")
    hang(gateway, mark)
    gateway.sock.close()
    assert gateway.exit_status() == 0


def test_a_frame_that_is_too_long_ends_the_worker_before_its_body_is_read(gateways: list[Gateway]) -> None:
    gateway = start(gateways, "fake")
    gateway.sock.sendall(HEADER.pack(0xFFFFFFFF))
    assert gateway.exit_status() == 0
    assert b"a frame of 4294967295 bytes" in gateway.error_output()


def test_a_model_that_cannot_be_built_is_one_sentence_and_no_traceback(gateways: list[Gateway]) -> None:
    gateway = Gateway("broken")
    gateways.append(gateway)
    assert gateway.receive() == Failed("The weights of the model 'broken' cannot be read: choose another model.")
    assert gateway.exit_status() == 1
    assert gateway.error_output() == b""


def test_an_empty_step_answers_with_nothing(gateways: list[Gateway]) -> None:
    gateway = start(gateways, "fake")
    gateway.send(Step(7, ()))
    reply = gateway.receive()
    assert isinstance(reply, StepDone)
    assert reply.id == 7
    assert (reply.result.hypotheses, reply.result.errors) == (StepResult().hypotheses, StepResult().errors)
