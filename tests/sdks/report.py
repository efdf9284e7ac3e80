"""docs/compatibility.md, from the outcomes."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from tests.sdks.trial import MAX_POINTS, Outcome

HEAD = """# Clients of other services

Programs that were written for Deepgram, OpenAI and others work against this server unchanged: they are given its
address in place of their own service's. How, step by step: [Deepgram](guides/deepgram.md),
[OpenAI](guides/openai.md), [LiveKit](guides/livekit.md), [Pipecat](guides/pipecat.md),
[Home Assistant](guides/home-assistant.md).

`make test-sdks` writes this page. It installs each client, unpatched, into an environment of its own, starts a
server with the bundled model and API keys, sends it the clips of `tests/data` at the speed of speech and as
fast as it takes them, and compares what is heard with the native protocol. A client passes when every check
holds and its word error rate is at most {points:g} points above the native one's. Tests of every commit do the
same with scripted peers, and feed each protocol generated garbage
(`tests/integration/test_dialect_garbage.py`).

## Tested clients

| client | version | protocol | exercised | word errors (native) | result |
|---|---|---|---|---|---|
"""

AFTER = """
## What is different

Nothing below was compared with the vendors' own services, only with their SDKs and documentation.

"""

ROUTES = """
## Routes

| route | what |
|---|---|
| `/v1/listen` | Deepgram: live over a WebSocket, recordings by `POST` |
| `/v1/realtime`, `/realtime` | OpenAI's realtime transcription |
| `/v3/ws` | AssemblyAI's streaming, version 3 |
| `/` | WebSocket clients that know no path: WhisperLive, vosk-server |
| `POST /v1/audio/transcriptions`, `POST /v1/audio/translations` | OpenAI's files |
| `/twilio`, `/audiohook`, `/freeswitch` | [Telephone lines](telephony.md); Asterisk's has a TCP port of its own |

Wyoming has a TCP port of its own, `--wyoming-port`, without keys ([Home Assistant](guides/home-assistant.md)). All
others stand on the server's one port and want a key where the server has any: `Authorization: Token`, `Bearer` or
bare, `?token=`, or a WebSocket subprotocol, as each SDK does it. An upgrade answers with the header
`Tympan-Session`, the id under which the session can be [watched](watching.md).

A container (WAV, Ogg, WebM, FLAC, MP3, MP4, AAC, AIFF, CAF, AMR, AU) is known by its first bytes and decoded by
FFmpeg in a process of its own, without files or network, with limits of memory and time: `media.*` in
[operations](operations.md#settings).
"""


def page(outcomes: Sequence[Outcome], costs: str) -> str:
    rows = "".join(_row(outcome) for outcome in outcomes)
    return HEAD.format(points=MAX_POINTS) + rows + _made_with() + AFTER + _differences(outcomes) + ROUTES + costs


def _row(outcome: Outcome) -> str:
    client = outcome.client
    words = f"{outcome.errors.rate:.1f} % ({outcome.native_errors.rate:.1f} %)"
    result = "passed" if outcome.passed else "**failed**: " + "; ".join(outcome.problems)
    cells = (f"`{client.package}`", outcome.version, client.protocol, client.exercised, words, result)
    return "| " + " | ".join(cells) + " |\n"


def _made_with() -> str:
    return f"\nMade on Python {platform.python_version()}, {platform.system()}, with tiny.en on a CPU.\n"


def _differences(outcomes: Sequence[Outcome]) -> str:
    text = ""
    told: set[str] = set()
    for client in (outcome.client for outcome in outcomes):
        if client.protocol in told or not client.differences:
            continue
        told.add(client.protocol)
        text += f"### {client.protocol}\n\n" + "".join(f"- {one}\n" for one in client.differences) + "\n"
    return text.rstrip("\n") + "\n"
