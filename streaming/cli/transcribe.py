"""`tympan transcribe FILE...`: audio files of any kind to text, JSON, SRT or WebVTT.

Exit code 0: every file was transcribed. 1: some were not, or not all of their sound (stderr has one sentence for
each). 2: none was. The files that can be done are always done.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from tympan_client import CallOptions, Endpointing, SessionOptions, Task, TympanError
from tympan_client.options import RedactKind

from streaming.cli.backend import Backend, add_engine_flags, engine_config, open_backend, paced
from streaming.cli.calls import add_call_flags, add_redact_flag, parse_call, parse_redact
from streaming.cli.errors import UserError
from streaming.cli.media import Channels, MediaFile
from streaming.cli.results import SUFFIXES, Format, Transcription
from streaming.cli.tasks import add_task_flag, parse_tasks


@dataclass(frozen=True)
class Wishes:
    channels: Channels
    labels: tuple[str, ...]
    realtime: bool
    language: str | None
    tasks: tuple[Task, ...] | None
    min_silence_ms: int | None
    redact: tuple[RedactKind, ...] | None
    call: CallOptions | None


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "transcribe", help="audio files to text, JSON or subtitles", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="any audio or video file")
    parser.add_argument("--format", choices=get_args(Format), default="txt", help="default: txt")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="a file, or a folder (made for several files); default: stdout"
    )
    parser.add_argument(
        "--channels",
        choices=get_args(Channels),
        default="mix",
        help="stereo files: mix both channels (default), or split them and transcribe each by itself",
    )
    parser.add_argument("--labels", default="left,right", metavar="A,B", help="names of split channels")
    parser.add_argument("--realtime", action="store_true", help="send at the speed at which it was spoken")
    parser.add_argument("--language", metavar="CODE", help="ISO 639-1, for multilingual models; default: detect it")
    add_task_flag(parser)
    add_redact_flag(parser)
    add_call_flags(parser)
    parser.add_argument("--min-silence-ms", type=int, metavar="MS", help="silence that ends an utterance")
    add_engine_flags(parser, "--device")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Raises UserError where nothing can be done at all."""
    check_output(args.output, args.format, args.files)
    return asyncio.run(transcribe_files(args, Console(stderr=True, highlight=False)))


def check_output(output: Path | None, form: Format, files: Sequence[Path]) -> None:
    """Raises UserError where the results could not be told apart or written."""
    several = len(files) > 1
    if output is None:
        if several and form in ("srt", "vtt"):
            raise UserError(f"several {form} files cannot share stdout; give a folder with -o")
        return
    if several and output.is_file():
        raise UserError(f"{output} is a file; for several results -o must be a folder")
    if not output.absolute().parent.is_dir():
        raise UserError(f"there is no folder {output.absolute().parent}")
    first: dict[str, Path] = {}
    for path in files:
        if path.name in first:
            target = output / (path.name + SUFFIXES[form])
            raise UserError(f"{first[path.name]} and {path} would both be written to {target}; give them one at a time")
        first[path.name] = path


async def transcribe_files(args: argparse.Namespace, errors: Console) -> int:
    labels = tuple(args.labels.split(","))
    if len(labels) != 2 or not all(labels):
        raise UserError("--labels wants two names, such as agent,customer")
    tasks = parse_tasks(args.task)
    redact, call = parse_redact(args.redact), parse_call(args.call, args.keyword)
    wishes = Wishes(args.channels, labels, args.realtime, args.language, tasks, args.min_silence_ms, redact, call)
    done: list[Transcription] = []
    failures = 0
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn(),
        console=errors, transient=True, disable=not errors.is_terminal,
    )  # fmt: skip
    async with open_backend(args.server, engine_config(args)) as backend:
        with bar:
            for path in args.files:
                result, problems = await transcribe_file(path, wishes, backend, bar)
                if result is not None and args.output is not None:
                    problem = write(result, path, args.format, args.output, several=len(args.files) > 1)
                    result, problems = (None, [*problems, problem]) if problem else (result, problems)
                for problem in problems:
                    bar.console.print(f"tympan transcribe: {problem}", markup=False, soft_wrap=True)
                failures += bool(problems)
                if result is not None:
                    done.append(result)
    if args.output is None:
        sys.stdout.write(to_stdout(done, args.format, several=len(args.files) > 1))
    return 0 if not failures else 1 if done else 2


async def transcribe_file(
    path: Path, wishes: Wishes, backend: Backend, bar: Progress
) -> tuple[Transcription | None, list[str]]:
    """The transcription, or None where nothing could be done, and a sentence for each thing that went wrong."""
    try:
        media = MediaFile.open(path, wishes.channels)
    except UserError as error:
        return None, [str(error)]
    split = media.channels == 2
    result = Transcription(str(path), wishes.labels if split else (None,))
    options = SessionOptions(
        audio=replace(media.audio, labels=wishes.labels if split else None),
        language=wishes.language,
        task=wishes.tasks,
        interim="off",
        endpointing=Endpointing(min_silence_ms=wishes.min_silence_ms),
        redact=wishes.redact,
        call=wishes.call,
    )
    problems: list[str] = []
    task = bar.add_task(path.name, total=media.duration_ms, said="")
    try:
        source = _readable(media, problems)
        if wishes.realtime:
            source = paced(source, media.audio.bytes_per_frame * media.audio.sample_rate)
        async with aclosing(backend.stream(source, options)) as events:
            async for event in events:
                result.receive(event)
                _show(bar, task, result, media)
    except TympanError as error:
        return None, [*problems, f"{path}: {error}"]
    finally:
        bar.remove_task(task)
    problems += [f"{path}: {warning}" for warning in result.warnings]
    problems += [
        f"{path}: {gap['from_ms'] / 1000:.1f} to {gap['to_ms'] / 1000:.1f} s could not be transcribed ({gap['reason']})"
        for gap in result.as_dict()["gaps"]
    ]
    return (result if result.audio_ms else None), problems


async def _readable(media: MediaFile, problems: list[str]) -> AsyncGenerator[bytes, None]:
    """What can be read of the file; why the rest cannot goes into `problems`, and what came before it is kept."""
    chunks = media.chunks()
    try:
        while (chunk := await asyncio.to_thread(lambda: next(chunks, None))) is not None:
            yield chunk
    except UserError as error:
        problems.append(str(error))


def _show(bar: Progress, task: TaskID, result: Transcription, media: MediaFile) -> None:
    total_s = (media.duration_ms or 0) / 1000
    said = f"{result.position_ms / 1000:.0f} / {total_s:.0f} s" if total_s else f"{result.position_ms / 1000:.0f} s"
    bar.update(task, completed=result.position_ms, said=said)


def write(result: Transcription, path: Path, form: Format, output: Path, *, several: bool) -> str | None:
    """To the file `output`, or into it where it is a folder (or must be one), named after the audio file.

    Returns what went wrong, or None.
    """
    target = output / (path.name + SUFFIXES[form]) if several or output.is_dir() else output
    try:
        if several:
            output.mkdir(exist_ok=True)
        target.write_text(result.render(form), "utf-8")
    except OSError as error:
        return f"{target}: cannot be written ({error.strerror})"
    return None


def to_stdout(done: list[Transcription], form: Format, *, several: bool) -> str:
    """One result as it is; several texts under their names, several JSON results one to a line."""
    if not several:
        return "".join(result.render(form) for result in done)
    if form == "json":
        return "".join(f"{result.render_line()}\n" for result in done)
    return "\n".join(f"==> {result.name} <==\n{result.render(form)}" for result in done)
