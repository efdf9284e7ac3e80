"""`tympan serve`: the service on a socket, until a signal ends it.

The order of calls: bind the port; answer health checks while the model is loaded; print the ready line; at the first
SIGINT or SIGTERM drain, so that every session gets its finals; at the second leave at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
from pathlib import Path

from inference.pool.interface import EngineStartError
from streaming.app import AppServer, listen, make_app
from streaming.cli.errors import UserError
from streaming.config import Config, ConfigError, load_config
from streaming.observability.logs import set_up_logs
from streaming.session.service import Service

EXIT_AT_ONCE = 130


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "serve",
        help="run the captions service",
        description="Runs the service: WebSocket /v1/stream, the captions page at /, /healthz, /readyz, /metrics.",
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8765; 0 picks a free one)")
    parser.add_argument("--audiosocket-port", type=int, help="port for Asterisk's AudioSocket (default 0: off)")
    parser.add_argument("--wyoming-port", type=int, help="port for Home Assistant, by Wyoming (default 0: off)")
    parser.add_argument("--model", help="speech model (default tiny.en); `tympan models` lists what it may be")
    parser.add_argument("--device", help="auto (default), cpu, cuda, cuda:1 ...")
    parser.add_argument(
        "--workers", type=int, help="processes that hold the model (default: as needed, and as cores allow)"
    )
    parser.add_argument("--store", help="where sessions are kept: memory (default)")
    parser.add_argument(
        "--redact",
        metavar="KINDS",
        help="numbers that no session may say: card, dob, phone, digits, several separated by commas, or all",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML; flags win over it")
    parser.add_argument("--max-sessions", type=int, help="sessions served at once (default 256)")
    parser.add_argument("--drain-timeout", type=float, metavar="S", help="seconds left to sessions at the end")
    parser.add_argument("--log-level", help="debug, info (default), warning or error")


def run(args: argparse.Namespace) -> int:
    """Raises UserError for what the user can mend."""
    flags = {
        "server.host": args.host,
        "server.port": args.port,
        "server.max_sessions": args.max_sessions,
        "server.drain_timeout_s": args.drain_timeout,
        "server.log_level": args.log_level,
        "engine.model": args.model,
        "engine.device": args.device,
        "engine.workers": args.workers,
        "store.kind": args.store,
        "session.redact": args.redact,
        "telephony.audiosocket_port": args.audiosocket_port,
        "wyoming.port": args.wyoming_port,
    }
    try:
        config = load_config(args.config, flags=flags)
    except ConfigError as error:
        raise UserError(str(error)) from None
    check_access(config)
    set_up_logs(config.server.log_level)
    return asyncio.run(_serve(config))


def check_access(config: Config) -> None:
    """Raises UserError: other machines could connect, and nobody has said that they may."""
    auth, host = config.auth, config.server.host
    if _is_loopback(host) or auth.keys or auth.keys_file or auth.open:
        return
    raise UserError(
        f"{host} can be reached from other machines, and there are no API keys: set TYMPAN_AUTH_KEYS or "
        "TYMPAN_AUTH_KEYS_FILE, or TYMPAN_AUTH_OPEN=true if everybody may connect, or use --host 127.0.0.1"
    )


async def _serve(config: Config) -> int:
    with contextlib.ExitStack() as bound:
        listener = bound.enter_context(_bind(config.server.host, config.server.port))
        ports = {"audiosocket": config.telephony.audiosocket_port, "wyoming": config.wyoming.port}
        others = {
            name: bound.enter_context(_bind(config.server.host, port, f"--{name}-port"))
            for name, port in ports.items()
            if port
        }
        service = Service(config)
        try:
            server = AppServer(
                make_app(service), listener, audiosocket=others.get("audiosocket"), wyoming=others.get("wyoming")
            )
        except ConfigError as error:
            raise UserError(str(error)) from None
        bound.pop_all()
    ended = asyncio.Event()
    _handle_signals(ended)
    serving = asyncio.create_task(server.run(), name="server")
    try:
        if not await _start(service, ended):
            return 0
        print(_ready_line(service, config.server.host, server.port), flush=True)
        wait_for_end = asyncio.create_task(ended.wait(), name="wait for a signal")
        await asyncio.wait({serving, wait_for_end}, return_when=asyncio.FIRST_COMPLETED)
        wait_for_end.cancel()
        await service.drain(config.server.drain_timeout_s)
    finally:
        await service.stop()
        server.end()
        await serving
    return 0


async def _start(service: Service, ended: asyncio.Event) -> bool:
    """False when a signal came before the model was loaded."""
    starting = asyncio.create_task(service.start(), name="start the engine")
    ending = asyncio.create_task(ended.wait(), name="wait for a signal")
    await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False
    try:
        starting.result()
    except EngineStartError as error:
        raise UserError(str(error)) from None
    return True


def _bind(host: str, port: int, flag: str = "--port") -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot listen on {host}:{port}: {reason}; choose another --host or {flag}") from None


def _handle_signals(ended: asyncio.Event) -> None:
    def on_signal() -> None:
        if ended.is_set():
            os._exit(EXIT_AT_ONCE)
        ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)


def _ready_line(service: Service, host: str, port: int) -> str:
    info = service.info
    assert info is not None
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"Tympan is ready: http://{shown}:{port}/ (model {info.model}, device {info.device}, dtype {info.dtype})"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
