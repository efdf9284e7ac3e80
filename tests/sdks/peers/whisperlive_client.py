"""whisper-live: its streaming client, and the one that plays a file and waits for the end of what is said."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from exchange import Wanted, answer, wanted
from whisper_live.client import StreamingTranscriptionClient, TranscriptionClient


def address(asked: Wanted) -> tuple[str, str]:
    """The client has no place for a key: it is given with the port."""
    host, port = asked.host.split(":")
    return host, f"{port}/?token={asked.key}"


def live(asked: Wanted) -> None:
    host, port = address(asked)
    partials: list[str] = []
    with contextlib.redirect_stdout(io.StringIO()):
        client = StreamingTranscriptionClient(
            host, port, lang="en", on_partial_transcript=lambda text, _: partials.append(text)
        )
        with client:
            for piece in asked.pieces():
                client.send(piece)
    starts = [float(segment["start"]) for segment in client.transcript]
    text = " ".join(segment["text"].strip() for segment in client.transcript)
    answer(text, partials=bool(partials), times=starts == sorted(starts))


def file(asked: Wanted) -> None:
    host, port = address(asked)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        srt = Path(folder) / "out.srt"
        client = TranscriptionClient(
            host, port, lang="en", mute_audio_playback=True, output_transcription_path=str(srt), log_transcription=False
        )
        client(str(asked.clip))
        lines = srt.read_text("utf-8").splitlines()
    texts = [line for line in lines if line and not line.isdigit() and "-->" not in line]
    answer(" ".join(texts), no_line_twice=len(set(texts)) == len(texts))


ASKED = wanted()
match ASKED.mode:
    case "paced" | "unpaced":
        live(ASKED)
    case "file":
        file(ASKED)
