"""The worker process: `python -m inference.pool.worker --fd N --model M --device D`, and what `--help` says.

The order: build the engine, say Started (or Failed, and exit), then run commands in the order in which they came.
Two threads: this one owns the engine; the reading thread takes commands off the socket, answers each Ping at once
with how long the present command has been running, and ends the process when the gateway is gone, even if a step
hangs. So the gateway can tell an idle worker from a busy one, and a busy one from a dead one.

SIGINT is ignored: a Ctrl-C reaches the whole foreground group, and the gateway drains its sessions first.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import queue
import signal
import socket
import threading
import time
from typing import NoReturn, assert_never

from inference.pool.core import EngineBuilder, StepEngine
from inference.pool.heap import HeapTrimmer, find_trim
from inference.pool.interface import EngineStartError
from inference.pool.wire import (
    Append,
    CloseStream,
    Command,
    Discard,
    Failed,
    FrameCodec,
    FrameError,
    Open,
    Ping,
    Pong,
    Reply,
    Started,
    Step,
    StepDone,
    Stop,
)

log = logging.getLogger(__name__)

ENGINES = ("whisper", "fake")  # the first stands for all families of models
MAX_PENDING_BYTES = 128 << 20  # what one hour of audio takes; beyond it the gateway has to wait
LAST_WORDS_S = 5.0


class Worker:
    """Owns the socket; `run` returns when a Stop was reached."""

    def __init__(self, sock: socket.socket, engine: StepEngine) -> None:
        self._sock = sock
        self._engine = engine
        self._codec = FrameCodec()
        self._send_lock = threading.Lock()
        self._commands: queue.SimpleQueue[tuple[Command, int]] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._pending_bytes = 0
        self._busy_since: float | None = None
        self._heap = HeapTrimmer(find_trim())
        self._reader = threading.Thread(target=self._read, name="reader", daemon=True)

    def run(self) -> None:
        """Raises what the engine raises: its state is not to be trusted after that."""
        self.send(Started(self._engine.info))
        self._reader.start()
        while True:
            if self._commands.empty():
                self._heap.idle()
            command, size = self._commands.get()
            self._busy_since = time.monotonic()
            if isinstance(command, Stop):
                return
            self._execute(command)
            self._busy_since = None
            with self._room:
                self._pending_bytes -= size
                self._room.notify()

    def fail(self, sentence: str) -> None:
        """The last words; returns when the gateway had time to read them.

        The socket stays open and is read from until the gateway closes it: closing it with unread commands in it
        would reset the connection, and the sentence would be lost.
        """
        self.send(Failed(sentence))
        self._reader.join(LAST_WORDS_S)

    def send(self, reply: Reply) -> None:
        frame = self._codec.encode(reply)
        try:
            with self._send_lock:
                self._sock.sendall(frame)
        except OSError:
            _end_without_gateway()

    def _execute(self, command: Command) -> None:
        match command:
            case Open(stream, spec):
                self._engine.open(stream, spec)
            case Append(stream, utterance, first_sample, pcm):
                self._engine.append(stream, utterance, first_sample, pcm)
            case Step(step_id, jobs):
                self.send(StepDone(step_id, self._engine.step(jobs)))
                self._heap.step_done()
            case Discard(stream, utterance):
                self._engine.discard(stream, utterance)
            case CloseStream(stream):
                self._engine.close(stream)
            case Ping() | Stop():
                raise AssertionError("answered by the reading thread, or by run")
            case _:
                assert_never(command)

    def _read(self) -> None:
        try:
            while (received := self._codec.receive_command(self._sock)) is not None:
                command, size = received
                if isinstance(command, Ping):
                    self.send(Pong(command.id, self._busy_s()))
                else:
                    self._enqueue(command, size)
        except (OSError, FrameError) as exc:
            log.error("the gateway's socket failed: %s", exc)
        _end_without_gateway()

    def _enqueue(self, command: Command, size: int) -> None:
        with self._room:
            self._room.wait_for(lambda: self._pending_bytes < MAX_PENDING_BYTES)
            self._pending_bytes += size
        self._commands.put((command, size))

    def _busy_s(self) -> float:
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since


def _end_without_gateway() -> NoReturn:
    """Nobody is left to answer, and another thread may be within a step that never ends."""
    os._exit(0)


def engine_builder(name: str) -> EngineBuilder:
    """The engine is imported here and nowhere above: the other one must not cost its imports."""
    if name == "fake":
        from inference.pool.fake_step import build_fake_engine

        return build_fake_engine
    from inference.adapters.choose import build_engine

    return build_engine


def serve(
    sock: socket.socket,
    engine_name: str,
    model: str,
    device: str,
    threads: int | None = None,
    precision: str = "auto",
    tagger: str = "builtin",
) -> int:
    """The process's exit status: 0 after Stop, 1 after a failure that was told to the gateway."""
    try:
        engine = engine_builder(engine_name)(model, device, threads, precision, tagger)
    except EngineStartError as exc:
        return _fail(sock, str(exc))
    except Exception as exc:
        log.debug("the engine could not be built", exc_info=True)
        return _fail(sock, f"The model {model!r} could not be loaded on {device!r}: {_sentence(exc)}")
    worker = Worker(sock, engine)
    try:
        worker.run()
    except Exception as exc:
        log.exception("the engine failed")
        worker.fail(f"the engine failed: {_sentence(exc)}")
        return 1
    return 0


def _fail(sock: socket.socket, sentence: str) -> int:
    with contextlib.suppress(OSError):
        sock.sendall(FrameCodec().encode(Failed(sentence)))
    return 1


def _sentence(exc: Exception) -> str:
    """The exception's type and the first line of what it says."""
    lines = str(exc).strip().splitlines()
    return f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__


def main(argv: list[str] | None = None) -> NoReturn:
    """Ends the process by itself: threads of the model's libraries must not hold it up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser(prog="inference.pool.worker", description="A model in a process of its own.")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to the gateway")
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--tagger", default="builtin")
    parser.add_argument("--engine", choices=ENGINES, default="whisper")
    parser.add_argument("--log-level", default="WARNING")
    args = parser.parse_args(argv)
    logging.basicConfig(level=args.log_level, format="%(asctime)s worker %(levelname)s %(name)s: %(message)s")
    with socket.socket(fileno=args.fd) as sock:
        status = serve(sock, args.engine, args.model, args.device, args.threads, args.precision, args.tagger)
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    main()
