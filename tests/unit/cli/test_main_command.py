"""The command itself: what is imported when, and how it says what went wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from streaming.cli.errors import UserError
from streaming.cli.main import COMMANDS, main


def test_without_a_command_it_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


def test_help_imports_no_command() -> None:
    """`tympan --help` must be quick: no audio library, no model code."""
    code = "import sys; from streaming.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted(name for name in sys.modules if name.startswith('streaming.cli.')))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "['streaming.cli.errors', 'streaming.cli.main']"


def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--config", str(tmp_path / "none.toml")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("tympan serve: ")
    assert "cannot be read" in lines[0]


def test_an_interrupted_command_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("streaming.cli.serve.run", interrupt)
    assert main(["serve"]) == 130


def test_user_errors_are_exceptions_of_their_own() -> None:
    assert not issubclass(UserError, ValueError | OSError), "nothing raises them by accident"
