"""What `tympan doctor` and `tympan models` say, with the model's side scripted."""

import argparse
import json
import socket
import subprocess
from types import ModuleType
from typing import Any

import pytest

from inference.adapters.families import FAMILIES
from streaming.cli import doctor, models
from streaming.cli import probe as probe_module
from streaming.cli.doctor import Check
from streaming.cli.errors import UserError

MACHINE = {
    "torch": "2.13.0",
    "cpu_features": ["avx512f", "amx_bf16"],
    "cuda": [],
    "device": "cpu",
    "precision": "bfloat16",
    "precision_us": {"float32": 1200, "bfloat16": 300},
}
WEIGHTS = {"name": "tiny.en", "source": "/weights", "parameters": 37_760_256, "languages": 1}
AT_HAND = {"models": [{"name": "tiny.en", "kind": "bundled", "where": "/weights", "bytes": 75_537_502}]}


def parsed(module: ModuleType, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_parser(parser.add_subparsers())
    return parser.parse_args([module.__name__.rpartition(".")[2], *arguments])


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the probe answers; change it in place."""
    said: dict[str, Any] = {**MACHINE, "weights": WEIGHTS, **AT_HAND}
    for module in (doctor, models):
        monkeypatch.setattr(module, "probe", lambda *arguments: said)
    return said


def test_models_tells_what_is_accepted_and_what_is_at_hand(
    answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert models.run(parsed(models)) == 0
    shown = capsys.readouterr().out
    assert "OWNER/NAME" in shown
    assert "tiny.en  76 MB, bundled: /weights" in shown
    answer["models"] = []
    models.run(parsed(models))
    assert capsys.readouterr().out.endswith("  none\n")


def test_models_for_programs_is_json(answer: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert models.run(parsed(models, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["at_hand"] == AT_HAND["models"]
    assert "tiny.en" in told["accepted"]
    families = {family["model_type"]: family for family in told["families"]}
    assert families["whisper"]["verified"][0]["how"] == "real weights"
    assert families["qwen2_audio"]["streaming"] == "whole"
    assert (
        families["qwen2_audio"]["memory"][0]["weights_bytes"] == 2 * families["qwen2_audio"]["memory"][0]["parameters"]
    )


def test_models_tells_of_each_family_what_it_can_do_what_it_takes_and_what_was_verified(
    answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert models.run(parsed(models)) == 0
    shown = capsys.readouterr().out
    for family in FAMILIES:
        assert f"{family.model_type}: {family.name}" in shown
        assert all(f"{evidence.proof}: {evidence.shows} ({evidence.test})" in shown for evidence in family.evidence)
    assert "tasks      transcribe; 30 languages, told or found out" in shown
    assert "memory     mistralai/Voxtral-Mini-4B-Realtime-2602: 8.86 GB, and" in shown
    assert "times      none: estimated from the segment's bounds" in shown


def test_a_checked_model_was_loaded(answer: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert models.run(parsed(models, "--check", "tiny.en")) == 0
    assert capsys.readouterr().out == "tiny.en: 38 million parameters, English only, loaded from /weights\n"
    answer["problem"] = "There is no model."
    with pytest.raises(UserError, match="There is no model"):
        models.run(parsed(models, "--check", "nix"))


def test_a_probe_that_fails_gives_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "Traceback ...\nImportError: no torch\n")

    monkeypatch.setattr(probe_module.subprocess, "run", broken)
    with pytest.raises(UserError, match="ImportError: no torch"):
        probe_module.probe("--list")


def test_the_model_side_is_four_checks(answer: dict[str, Any]) -> None:
    processor, device, precision, model = doctor.check_model("tiny.en")
    assert "avx512f, amx_bf16" in processor.text
    assert device.text == "cpu by torch 2.13.0; no CUDA device"
    assert precision.text == "bfloat16; a small layer takes float32 1200 µs, bfloat16 300 µs"
    assert (model.status, model.data) == ("ok", WEIGHTS)


def test_a_model_that_cannot_be_loaded_fails_with_the_reason(answer: dict[str, Any]) -> None:
    answer["problem"] = "The weight file is broken; reinstall it."
    assert list(doctor.check_model("tiny.en"))[-1] == Check("model", "fail", "The weight file is broken; reinstall it.")


@pytest.mark.parametrize(("version", "status"), [((3, 10, 9), "fail"), ((3, 11, 0), "ok"), ((3, 13, 1), "ok")])
def test_an_old_python_fails(version: tuple[int, int, int], status: str) -> None:
    assert doctor.check_python(version).status == status


def test_a_taken_port_is_a_note_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        check = doctor.check_port("127.0.0.1", taken.getsockname()[1])
    assert check.status == "note"
    assert "--port" in check.text


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("note", 0), ("fail", 1)])
def test_only_what_fails_makes_the_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: doctor.Status, code: int
) -> None:
    check = Check("engine", status, "as it is")
    monkeypatch.setattr(doctor, "examine", lambda config: iter([check]))
    assert doctor.run(parsed(doctor)) == code
    assert capsys.readouterr().out == f"{status:<5}engine      as it is\n"
    assert doctor.run(parsed(doctor, "--json")) == code
    found = json.loads(capsys.readouterr().out)["checks"]
    assert found == [{"name": "engine", "status": status, "text": "as it is", "data": {}}]


def test_the_second_of_audio_is_one_second_and_not_silent() -> None:
    assert doctor.hum().shape == (16_000,)
    assert abs(doctor.hum()).max() > 3000


def test_the_probe_finds_the_bundled_model() -> None:
    """The real one, in its own process."""
    found = probe_module.probe("--list")["models"]
    assert ("tiny.en", "bundled") in [(model["name"], model["kind"]) for model in found]


def test_a_precision_without_an_alternative_was_not_timed() -> None:
    assert doctor.check_precision("float32", {"float32": 0}).text == "float32, all that this processor has units for"
