"""`tympan watch`: the live captions of a session that somebody else speaks in.

First what was said so far, then what is being said, until the session ends. A connection that is lost is made again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from rich.console import Console
from tympan_client import Event, Summary, TympanError
from tympan_client.address import DEFAULT_URL, connect_error, stream_url
from tympan_client.connection import key_headers
from tympan_client.events import ErrorEvent, UnknownEvent, parse_event
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from streaming.cli.errors import UserError
from streaming.cli.listen import in_pipe, on_terminal
from streaming.cli.live import LiveCaptions, PlainCaptions

SUBPROTOCOL = Subprotocol("tympan.v1.json")
MAX_ATTEMPTS = 10
"""Connections lost or refused one after the other, before it gives up."""
PAUSE_S = 1.0
OPEN_TIMEOUT_S = 10.0


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "watch", help="show the live captions of a session", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("session", metavar="SESSION", help="its id, as in `ready`")
    parser.add_argument("--server", metavar="URL", default=DEFAULT_URL, help=f"any gateway; default: {DEFAULT_URL}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Raises UserError."""
    try:
        asyncio.run(watch(args.server, args.session, Console()))
    except TympanError as error:
        raise UserError(str(error)) from error
    return 0


async def watch(server: str, session: str, console: Console) -> None:
    """Shows a session to its end. Raises TympanError."""
    live, plain = LiveCaptions(f"session {session}"), PlainCaptions()
    live.level = None
    shown = on_terminal(live, console) if console.is_terminal else in_pipe(plain)
    with shown as show:

        def show_with_labels(event: Event) -> None:
            if isinstance(event, UnknownEvent) and event.type == "watching":
                live.labels = plain.labels = channel_labels(event)
            show(event)

        await follow(watch_url(server, session), show_with_labels)


async def follow(url: str, show: Callable[[Event], None], pause_s: float = PAUSE_S) -> None:
    """Gives `show` each message of a session once, over as many connections as it takes.

    Raises:
        TympanError: there is no such session, the server refuses, or cannot be reached.
    """
    after, attempts, problem = 0, 0, TympanError("connection_lost", "the connection was lost")
    while attempts < MAX_ATTEMPTS:
        try:
            async with connect(
                f"{url}?after={after}",
                subprotocols=[SUBPROTOCOL],
                additional_headers=key_headers(),
                compression=None,
                max_size=None,
                open_timeout=OPEN_TIMEOUT_S,
            ) as socket:
                async for payload in socket:
                    event = parse_event(json.loads(payload))
                    if isinstance(event, ErrorEvent) and event.fatal:
                        raise event.as_exception()
                    show(event)
                    after, attempts = max(after, event.seq), 0
                    if isinstance(event, Summary):
                        return
                return  # Closed with 1000: the session is over.
        except ConnectionClosed:
            problem = TympanError("connection_lost", "the connection was lost", retryable=True)
        except (OSError, TimeoutError, WebSocketException) as error:
            problem = connect_error(url, error)
        except TympanError as error:
            problem = error
        # A server that was never reached is more likely misspelt than away.
        if not problem.retryable or (problem.code == "unreachable" and not after):
            raise problem
        attempts += 1
        await asyncio.sleep(max(pause_s, (problem.retry_after_ms or 0) / 1000))
    raise problem


def watch_url(server: str, session: str) -> str:
    """Raises TympanError (`bad_use`)."""
    parts = urlsplit(stream_url(server))
    path = f"{parts.path.removesuffix('/v1/stream')}/v1/sessions/{quote(session, safe='')}/watch"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def channel_labels(watching: UnknownEvent) -> Sequence[str]:
    """None is written where there is one channel only."""
    labels = (watching.fields.get("audio") or {}).get("labels") or []
    return labels if len(labels) > 1 else []
