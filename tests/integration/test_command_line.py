"""The commands as a user runs them: in processes of their own, with the real model, on the project's clips."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streaming.cli.demo import serving

pytestmark = pytest.mark.timeout(240)

CLIPS = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(port=0) as address:
        yield address


def tympan(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streaming.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def transcribed(*arguments: object) -> list[dict[str, Any]]:
    done = tympan("transcribe", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_transcribe_gives_the_same_in_place_and_from_a_server(url: str) -> None:
    """Finals are a function of the samples: words, times and confidence are equal."""
    files = CLIPS / "pause.flac", CLIPS / "telephone.wav"
    served, in_place = transcribed(*files, "--server", url), transcribed(*files)
    assert served == in_place
    pause, telephone = served
    assert [utterance["text"].split()[0] for utterance in pause["utterances"]] == ["Please", "Thank"]
    assert "city library" in telephone["utterances"][0]["text"]
    times = [(word["start_ms"], word["end_ms"]) for u in pause["utterances"] for word in u["words"]]
    assert times == sorted(times)


def test_a_call_is_transcribed_channel_by_channel(url: str) -> None:
    done = tympan(
        "transcribe", CLIPS / "call.flac", "--channels", "split", "--labels", "agent,customer", "--server", url
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("agent: Good morning")
    assert any(line.startswith("customer: Hello") for line in lines)


def test_a_result_that_cannot_be_written_leaves_the_others(url: str, tmp_path: Path) -> None:
    (tmp_path / "pause.flac.txt").mkdir()
    done = tympan("transcribe", CLIPS / "pause.flac", CLIPS / "question.flac", "-o", tmp_path, "--server", url)
    assert done.returncode == 1
    assert "pause.flac.txt: cannot be written" in done.stderr
    assert "weather" in (tmp_path / "question.flac.txt").read_text()


def test_listen_to_a_file_writes_its_words(url: str) -> None:
    done = tympan("listen", "--file", CLIPS / "question.flac", "--server", url)
    assert done.returncode == 0, done.stderr
    assert "weather will be like tomorrow" in done.stdout


def test_ctrl_c_ends_listening_after_the_last_words(url: str) -> None:
    """The clip lasts 36 s; it is interrupted as soon as words come, and what was said until then becomes a final."""
    command = [sys.executable, "-m", "streaming.cli.main", "listen", "--file", CLIPS / "long.flac", "--server", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    text = (first + rest).decode()
    assert text.startswith("A good")
    assert text.endswith("\n")
    assert "gardener believes" not in text


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    done = tympan("listen", "--file", CLIPS / "question.flac", "--server", "127.0.0.1:9")
    assert done.returncode == 2
    assert done.stderr.startswith("tympan listen: no server answers at ws://127.0.0.1:9/v1/stream")
    assert done.stderr.count("\n") == 1


def test_the_demo_plays_its_clip_and_ends() -> None:
    command = [sys.executable, "-m", "streaming.cli.demo", "--port", "0", "--once", "--clip", CLIPS / "question.flac"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "weather will be like tomorrow" in done.stdout


def test_doctor_measures_one_second_of_audio() -> None:
    done = tympan("doctor", "--json")
    assert done.returncode == 0, done.stdout
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert len(checks["engine"]["data"]["one_second_ms"]) == 5
    assert checks["model"]["data"]["name"] == "tiny.en"
