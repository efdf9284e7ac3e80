"""The clients that are tried: where each comes from, what is done with it, and what differs from its own service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

DEEPGRAM_DIFFERENCES = (
    "`model` is any text: the server's own model answers. `keyterm` and `keywords` are taken and change nothing.",
    "`endpointing` below 400 ms is 400 ms.",
    "`diarize`, `redact`, `replace`, `search`, `numerals` and the other features of understanding are ignored.",
)
OPENAI_DIFFERENCES = (
    "`model` is any text, and `prompt` changes nothing.",
    "`logprobs` are null; `usage` counts seconds.",
    "`semantic_vad` is a pause of 0.3 s (`high`), 0.8 s or 1.5 s (`low`).",
)


@dataclass(frozen=True)
class Client:
    name: str
    """Of its requirements and of nothing else."""
    package: str
    protocol: str
    program: str
    """In `peers`."""
    live: Sequence[str] = ("paced", "unpaced")
    """Modes in which it streams clips whose words are compared."""
    whole: Sequence[str] = ()
    """Modes in which it sends one clip whose words are compared."""
    others: Sequence[str] = ("refused",)
    """Modes without words."""
    exercised: str = ""
    differences: Sequence[str] = ()
    runtime: Literal["python", "node"] = "python"


CLIENTS: Sequence[Client] = (
    Client(
        "deepgram7",
        "deepgram-sdk",
        "Deepgram",
        "deepgram7.py",
        whole=("sync", "file"),
        exercised="asynchronous and synchronous live streams, interims, VAD events, UtteranceEnd, KeepAlive, "
        "Finalize twice, CloseStream, recordings by POST, a wrong key",
        differences=DEEPGRAM_DIFFERENCES,
    ),
    Client(
        "deepgram4",
        "deepgram-sdk",
        "Deepgram",
        "deepgram3.py",
        whole=("file",),
        exercised="live streams, interims, VAD events, UtteranceEnd, automatic KeepAlive, Finalize, recordings by "
        "POST, a wrong key",
        differences=DEEPGRAM_DIFFERENCES,
    ),
    Client(
        "deepgram3",
        "deepgram-sdk",
        "Deepgram",
        "deepgram3.py",
        whole=("file",),
        exercised="live streams, interims, VAD events, UtteranceEnd, automatic KeepAlive, Finalize, recordings by "
        "POST, a wrong key",
        differences=DEEPGRAM_DIFFERENCES,
    ),
    Client(
        "deepgram-js",
        "@deepgram/sdk",
        "Deepgram",
        "deepgram.mjs",
        whole=("file",),
        others=(),
        exercised="live streams, Finalize, CloseStream without a second connection after it, recordings by POST",
        differences=DEEPGRAM_DIFFERENCES,
        runtime="node",
    ),
    Client(
        "openai",
        "openai",
        "OpenAI",
        "openai_sdk.py",
        whole=("manual", "file"),
        others=("beta", "refused"),
        exercised="realtime transcription (GA: server VAD, manual commits, deltas that add up; beta: the handshake and "
        "its configuration), files as json, text, verbose_json, srt, vtt and a stream, a wrong key",
        differences=OPENAI_DIFFERENCES,
    ),
)
