"""One client against one server: its program runs in its own environment, and says what it heard."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.accuracy.words import NO_ERRORS, WordErrors, normalise, word_errors
from benchmarks.peers.venvs import python_of
from tests.sdks.clients import Client

HERE = Path(__file__).parent
MAX_POINTS = 2.0
"""How much worse than the native protocol's the words may be, in points of the word error rate."""
PROGRAM_S = 180.0


@dataclass(frozen=True)
class Spoken:
    """A clip, and what was heard of it over the native protocol."""

    wav: Path
    reference: str
    native: str


@dataclass
class Outcome:
    client: Client
    version: str
    problems: list[str] = field(default_factory=list)
    errors: WordErrors = NO_ERRORS
    native_errors: WordErrors = NO_ERRORS

    @property
    def points(self) -> float:
        """Of the word error rate, more than the native protocol's."""
        return self.errors.rate - self.native_errors.rate

    @property
    def passed(self) -> bool:
        return not self.problems and self.points <= MAX_POINTS


def environment_of(client: Client, folder: Path) -> tuple[list[str], str]:
    """The command that runs its programs, and its version. Raises PeerError, OSError."""
    if client.runtime == "python":
        python = python_of(client.name, folder, HERE / "requirements")
        return [str(python)], pinned_version(client)
    package = HERE / "requirements" / client.name
    home = folder / client.name
    home.mkdir(parents=True, exist_ok=True)
    for file in package.iterdir():
        (home / file.name).write_bytes(file.read_bytes())
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=home, check=True)
    return ["node"], pinned_version(client)


def pinned_version(client: Client) -> str:
    listed = HERE / "requirements"
    if client.runtime == "node":
        package = json.loads((listed / client.name / "package.json").read_text("utf-8"))
        return str(package["dependencies"][client.package])
    files = (listed / f"{client.name}{ending}" for ending in (".txt", ".alone.txt"))
    lines = [line for file in files if file.exists() for line in file.read_text("utf-8").split()]
    versions = dict(line.split("==") for line in lines)
    return next(version for name, version in versions.items() if name.partition("[")[0] == client.package)


def run(client: Client, host: str, key: str, clips: dict[str, list[Spoken]], folder: Path) -> Outcome:
    """
    Args:
        clips: for the modes `paced`, `unpaced` and `whole`.
        folder: where environments are made.
    """
    folder = folder.resolve()
    command, version = environment_of(client, folder)
    outcome = Outcome(client, version)
    after = [str(folder / client.name)] if client.runtime == "node" else []

    def program(mode: str, wav: Path) -> str | None:
        arguments = [str(HERE / "peers" / client.program), host, key, str(wav), mode, *after]
        try:
            done = subprocess.run(
                [*command, *arguments],
                capture_output=True,
                text=True,
                timeout=PROGRAM_S,
                check=False,
                cwd=wav.parent,  # some leave files behind
            )
        except subprocess.TimeoutExpired:
            outcome.problems.append(f"{mode}: it did not end within {PROGRAM_S:g} s")
            return None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it failed"])[-1]
            outcome.problems.append(f"{mode}: {last}")
            return None
        told = json.loads(done.stdout.strip().splitlines()[-1])
        outcome.problems += [f"{mode}: not {name}" for name, good in told["checked"].items() if not good]
        return str(told["text"])

    for mode in (*client.live, *client.whole):
        for clip in clips.get(mode, clips["whole"]):
            text = program(mode, clip.wav)
            if text is not None:
                outcome.errors += _errors(clip.reference, text)
                outcome.native_errors += _errors(clip.reference, clip.native)
    for mode in client.others:
        program(mode, clips["whole"][0].wav)
    if outcome.points > MAX_POINTS:
        outcome.problems.append(f"its words are {outcome.points:.1f} points worse than the native protocol's")
    return outcome


def _errors(reference: str, text: str) -> WordErrors:
    return word_errors(normalise(reference), normalise(text))
