"""`tympan doctor`: what was found on this machine, what is missing, and how long one second of audio takes.

Exit code 0: the service can run here. 1: it cannot; the lines marked "fail" say why.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from inference.pool.interface import SAMPLE_RATE, EngineStartError, Job, StreamSpec, WorkerLost
from inference.pool.local import LocalPool
from inference.pool.process import WorkerSettings
from streaming.cli.errors import UserError
from streaming.cli.microphone import choose_rate
from streaming.cli.probe import probe
from streaming.config import Config, ConfigError, load_config
from streaming.scheduler.fleet import most_cpu_workers

RUNS = 5
MIN_PYTHON = (3, 11)

Status = Literal["ok", "note", "fail"]
"""A note is something missing that the service can do without."""


@dataclass(frozen=True)
class Check:
    name: str
    status: Status
    text: str
    data: dict[str, Any] = field(default_factory=dict)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "doctor", help="say what was found on this machine, and how fast it is", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--model", help="as for `tympan serve`")
    parser.add_argument("--device", help="as for `tympan serve`")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        config = load_config(flags={"engine.model": args.model, "engine.device": args.device})
    except ConfigError as error:
        raise UserError(str(error)) from None
    checks = []
    for check in examine(config):
        checks.append(check)
        if not args.json:
            print(f"{check.status:<5}{check.name:<12}{check.text}", flush=True)
    if args.json:
        print(json.dumps({"checks": [dataclasses.asdict(check) for check in checks]}))
    return int(any(check.status == "fail" for check in checks))


def examine(config: Config) -> Iterator[Check]:
    yield check_python(sys.version_info[:3])
    yield from check_model(config.engine.model)
    yield asyncio.run(check_engine(config))
    yield Check("sessions", "ok", f"kept in {config.store.kind}; no Redis is configured", {"store": config.store.kind})
    yield check_microphone()
    yield check_port(config.server.host, config.server.port)


def check_python(version: tuple[int, ...]) -> Check:
    text = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version[:2] < MIN_PYTHON:
        return Check("python", "fail", f"{text}; Tympan needs {'.'.join(map(str, MIN_PYTHON))} or newer")
    return Check("python", "ok", text, {"version": ".".join(map(str, version))})


def check_model(model: str) -> Iterator[Check]:
    """The processor, the accelerator and the weights."""
    try:
        found = probe("--model", model)
    except UserError as error:
        yield Check("model", "fail", str(error))
        return
    features = ", ".join(found["cpu_features"]) or "none of the features that speed a model up"
    workers = most_cpu_workers()
    yield Check(
        "processor", "ok", f"{os.cpu_count()} cores, {features}; up to {workers} workers",
        {"cores": os.cpu_count(), "features": found["cpu_features"], "workers": workers},
    )  # fmt: skip
    cuda = f" ({', '.join(found['cuda'])})" if found["cuda"] else "; no CUDA device"
    yield Check(
        "device", "ok",
        f"{found['device']} by torch {found['torch']}{cuda}",
        {name: found[name] for name in ("device", "torch", "cuda")},
    )  # fmt: skip
    yield check_precision(found["precision"], found["precision_us"])
    if "problem" in found:
        yield Check("model", "fail", found["problem"])
    else:
        weights = found["weights"]
        yield Check("model", "ok", f"{weights['name']}, weights in {weights['source']}", weights)


def check_precision(chosen: str, timings: dict[str, int]) -> Check:
    """What multiplies fastest here, and what it was compared with."""
    data = {"precision": chosen, "us": timings}
    if not any(timings.values()):
        return Check("precision", "ok", f"{chosen}, all that this processor has units for", data)
    compared = ", ".join(f"{name} {us} µs" for name, us in timings.items())
    return Check("precision", "ok", f"{chosen}; a small layer takes {compared}", data)


async def check_engine(config: Config) -> Check:
    """Starts a worker as the service does, and gives it one second of (synthetic) audio, RUNS times."""
    pool = LocalPool(
        WorkerSettings(
            model=config.engine.model,
            device=config.engine.device,
            threads=config.engine.threads,
            precision=config.engine.precision,
            tagger=config.engine.tagger,
        )
    )
    begin = time.perf_counter()
    try:
        info = await pool.start()
        start_s = time.perf_counter() - begin
        pool.open("doctor", StreamSpec())
        latencies_ms = [await _one_second(pool, utterance) for utterance in range(1, RUNS + 1)]
    except (EngineStartError, WorkerLost) as error:
        return Check("engine", "fail", str(error) or "the worker died")
    finally:
        await pool.stop()
    median_ms = statistics.median(latencies_ms)
    text = (
        f"{info.model} on {info.device} in {info.dtype}: one second of audio in {median_ms:.0f} ms "
        f"(median of {RUNS}, slowest {max(latencies_ms):.0f} ms), ready after {start_s:.1f} s"
    )
    data = {
        "model": info.model,
        "device": info.device,
        "dtype": info.dtype,
        "start_s": round(start_s, 2),
        "one_second_ms": [round(latency) for latency in latencies_ms],
    }
    if median_ms > 1000:
        return Check("engine", "note", f"{text}; this is slower than live speech", data)
    return Check("engine", "ok", text, data)


async def _one_second(pool: LocalPool, utterance: int) -> float:
    """Milliseconds from the audio's arrival to its words."""
    begin = time.perf_counter()
    pool.append("doctor", utterance, 0, hum().tobytes())
    await pool.step([Job("doctor", utterance, 1, "interim", 0, SAMPLE_RATE)])
    latency_ms = (time.perf_counter() - begin) * 1000
    pool.discard("doctor", utterance)
    return latency_ms


def hum() -> np.ndarray[Any, np.dtype[np.int16]]:
    """One second of a 120 Hz voice-like hum, four syllables long: int16 (SAMPLE_RATE,)."""
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    voice = np.sum([np.sin(2 * np.pi * 120 * harmonic * t) / harmonic for harmonic in range(1, 20)], axis=0)
    syllables = np.sin(2 * np.pi * 2 * t) ** 2
    wave: np.ndarray[Any, np.dtype[np.int16]] = (voice * syllables * 6000).astype("<i2")
    return wave


def check_microphone() -> Check:
    try:
        rate = choose_rate(None)
    except UserError as error:
        return Check("microphone", "note", str(error))
    return Check("microphone", "ok", f"the default microphone records at {rate} Hz", {"sample_rate": rate})


def check_port(host: str, port: int) -> Check:
    name = f"{host}:{port}"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe_socket:
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind((host, port))
        except OSError as error:
            text = f"{name} cannot be used ({error.strerror}); `tympan serve --port` takes another"
            return Check("port", "note", text, {"address": name})
    return Check("port", "ok", f"{name} is free", {"address": name})
