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
ASSEMBLYAI_DIFFERENCES = (
    "`end_of_turn_confidence` is 0 or 1; a turn ends after a pause of `min_turn_silence`, 400 ms at least.",
    "`speech_model`, `keyterms_prompt` and `language_detection` change nothing. There is no `/v3/token`.",
)
VOSK_DIFFERENCES = (
    "The reply to a piece of audio is what is known at that moment, not what that piece added: who sends faster than "
    "speech gets most words with the reply to `eof`.",
    "`phrase_list` and `model` are ignored, and of `max_alternatives` there is one.",
)
WHISPERLIVE_DIFFERENCES = (
    'Its client has no place for a key; where the server wants one, it goes with the port: `port="8765/?token=KEY"`.',
    "`model`, `use_vad`, `initial_prompt`, `hotwords`, translation beside the transcript and diarization are ignored.",
    "A segment is completed at a pause of a second, and when no audio has come for 1.5 s.",
)


WYOMING_DIFFERENCES = (
    "`name`, `context`, `transcript_names` and `transcript_terms` change nothing; nothing is announced by Zeroconf.",
    "A connection is one session: after `transcript` the server closes it.",
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
    port: Literal["web", "wyoming"] = "web"
    """Of the server, to which it connects."""


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
        "livekit",
        "livekit-plugins-deepgram",
        "Deepgram",
        "livekit_stt.py",
        whole=("file",),
        others=(),
        exercised="a LiveKit agent's `stt`: live with interims, begin and end of speech, and `recognize`",
        differences=DEEPGRAM_DIFFERENCES,
    ),
    Client(
        "pipecat",
        "pipecat-ai",
        "Deepgram and OpenAI",
        "pipecat_stt.py",
        live=("paced",),
        whole=("openai",),
        others=(),
        exercised="`DeepgramSTTService` and `OpenAIRealtimeSTTService` in a pipeline, interims, no error frames",
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
    Client(
        "assemblyai",
        "assemblyai",
        "AssemblyAI",
        "assemblyai_sdk.py",
        exercised="streaming v3: Begin, turns open and formatted, SpeechStarted, Terminate, Termination, a wrong key",
        differences=ASSEMBLYAI_DIFFERENCES,
    ),
    Client(
        "vosk",
        "vosk",
        "vosk-server",
        "vosk_client.py",
        others=(),
        exercised="the exchange of `vosk-transcriber --server` in turns: partials, results with words, the end",
        differences=VOSK_DIFFERENCES,
    ),
    Client(
        "whisperlive",
        "whisper-live",
        "WhisperLive",
        "whisperlive_client.py",
        whole=("file",),
        others=(),
        exercised="its streaming client; and the one that plays a file, with the SRT that it writes",
        differences=WHISPERLIVE_DIFFERENCES,
    ),
    Client(
        "wyoming",
        "wyoming",
        "Wyoming",
        "wyoming_client.py",
        others=(),
        exercised="describe, transcribe, audio from start to stop; transcript chunks and the transcript",
        differences=WYOMING_DIFFERENCES,
        port="wyoming",
    ),
)
