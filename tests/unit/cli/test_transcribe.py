"""`tympan transcribe` on real files, with a backend that writes one word for each second."""

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tympan_client import Event, Gap, SessionOptions, Summary, TranscriptUpdate, TympanError, Word
from tympan_client.events import Ack

from streaming.cli import transcribe
from streaming.cli.errors import UserError

CLIPS = Path(__file__).parents[2] / "data"


class CountingBackend:
    def __init__(self, extra: list[Event] | None = None, failure: TympanError | None = None) -> None:
        self.options: list[SessionOptions] = []
        self._extra = extra or []
        self._failure = failure

    async def stream(self, source: AsyncGenerator[bytes, None], options: SessionOptions) -> AsyncGenerator[Event, None]:
        self.options.append(options)
        sent = 0
        async for chunk in source:
            sent += len(chunk) // options.audio.bytes_per_frame
            yield Ack(sample=sent)
        if self._failure:
            raise self._failure
        for event in self._extra:
            yield event
        for channel in range(options.audio.channels):
            words = [
                Word(id=i, text=f"w{i}", start_ms=i * 1000, end_ms=i * 1000 + 500, confidence=1.0, state="final")
                for i in range(sent // 16_000)
            ]
            yield TranscriptUpdate(
                utterance=channel, channel=channel, revision=1, from_word=0, words=tuple(words), final=True
            )
        yield Summary(audio_ms=sent // 16, speech_ms=0, utterances=1, words=0)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> CountingBackend:
    made = CountingBackend(**getattr(request, "param", {}))

    @asynccontextmanager
    async def opened(server: str | None, config: object) -> AsyncIterator[CountingBackend]:
        yield made

    monkeypatch.setattr(transcribe, "open_backend", opened)
    return made


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    transcribe.add_parser(parser.add_subparsers())
    args = parser.parse_args(["transcribe", *map(str, arguments)])
    code: int = args.run(args)
    return code


def test_one_file_goes_to_stdout(backend: CountingBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(CLIPS / "question.flac") == 0
    assert capsys.readouterr().out == "w0 w1 w2\n"
    assert backend.options[0].interim == "off"


def test_several_texts_stand_under_their_names(backend: CountingBackend, capsys: pytest.CaptureFixture[str]) -> None:
    question, telephone = CLIPS / "question.flac", CLIPS / "telephone.wav"
    assert run(question, telephone) == 0
    assert capsys.readouterr().out == (
        f"==> {question} <==\nw0 w1 w2\n\n==> {telephone} <==\nw0 w1 w2 w3 w4 w5\n"
    )  # fmt: skip


def test_several_json_results_come_one_to_a_line(backend: CountingBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(CLIPS / "question.flac", CLIPS / "telephone.wav", "--format", "json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [len(json.loads(line)["utterances"][0]["words"]) for line in lines] == [3, 6]


def test_a_stereo_file_can_be_split(backend: CountingBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(CLIPS / "call.flac", "--channels", "split", "--labels", "agent,customer") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["agent", "customer"]
    assert backend.options[0].audio.channels == 2


def test_results_go_into_a_file_or_a_folder(backend: CountingBackend, tmp_path: Path) -> None:
    assert run(CLIPS / "question.flac", "-o", tmp_path / "one.txt") == 0
    assert (tmp_path / "one.txt").read_text() == "w0 w1 w2\n"
    assert run(CLIPS / "question.flac", CLIPS / "telephone.wav", "--format", "srt", "-o", tmp_path / "new") == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["question.flac.srt", "telephone.wav.srt"]


def test_the_other_files_are_done_when_one_cannot_be(
    backend: CountingBackend, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert run(tmp_path / "broken.wav", tmp_path / "missing.wav", CLIPS / "question.flac") == 1
    shown = capsys.readouterr()
    assert "w0 w1 w2" in shown.out
    assert "broken.wav: cannot be read as audio" in shown.err
    assert "missing.wav: there is no such file" in shown.err


def test_exit_code_2_says_that_nothing_was_done(backend: CountingBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("missing.wav") == 2
    assert capsys.readouterr().err == "tympan transcribe: missing.wav: there is no such file\n"


def test_what_is_left_of_a_broken_file_is_transcribed(
    backend: CountingBackend, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "cut.flac").write_bytes((CLIPS / "prose.flac").read_bytes()[:80_000])
    assert run(tmp_path / "cut.flac") == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("w0 w1")
    assert "is broken after" in shown.err


@pytest.mark.parametrize(
    "backend", [{"extra": [Gap(from_sample=16_000, to_sample=40_000, reason="lost")]}], indirect=True
)
def test_audio_that_was_lost_is_told(backend: CountingBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(CLIPS / "question.flac") == 1
    assert "1.0 to 2.5 s could not be transcribed (lost)" in capsys.readouterr().err


@pytest.mark.parametrize("backend", [{"failure": TympanError("overloaded", "no room")}], indirect=True)
def test_a_refused_session_is_told_with_its_code(backend: CountingBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(CLIPS / "question.flac") == 2
    assert "question.flac: no room [overloaded]" in capsys.readouterr().err.replace("\n", "")


def test_realtime_paces_the_file(backend: CountingBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pace itself is `paced`'s; here: it is asked for with the file's bytes per second."""
    asked = []

    async def watched(chunks: AsyncIterator[bytes], bytes_per_second: int) -> AsyncGenerator[bytes, None]:
        asked.append(bytes_per_second)
        async for chunk in chunks:
            yield chunk

    monkeypatch.setattr(transcribe, "paced", watched)
    assert run(CLIPS / "question.flac", "--realtime") == 0
    assert asked == [32_000]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a.wav", "b.wav", "--format", "srt"], "cannot share stdout"),
        (["a.wav", "b.wav", "-o", str(CLIPS / "manifest.tsv")], "must be a folder"),
        (["a.wav", "-o", "/nowhere/at/all.txt"], "there is no folder /nowhere/at"),
        (
            ["a/talk.wav", "b/talk.wav", "-o", "new"],
            "a/talk.wav and b/talk.wav would both be written to new/talk.wav.txt",
        ),
        (["a.wav", "--labels", "agent"], "two names"),
    ],
)
def test_impossible_wishes_are_refused_before_anything_is_read(
    backend: CountingBackend, arguments: list[str], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        run(*arguments)
    assert backend.options == []


async def test_paced_chunks_come_when_they_would_have_been_spoken() -> None:
    from streaming.cli.backend import paced

    async def chunks() -> AsyncGenerator[bytes, None]:
        for _ in range(3):
            yield bytes(320)

    loop = asyncio.get_running_loop()
    begin = loop.time()
    times = [loop.time() - begin async for _ in paced(chunks(), 6400)]
    assert all(time >= due - 0.002 for time, due in zip(times, (0.05, 0.1, 0.15), strict=True))
