"""From labelled clips to rows: answers in the form of their task, and no speaker or fold on both sides."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.support.training_qwen_audio import row
from training.qwen_audio.answers import form_of, spoken, tone_name, written_digits
from training.qwen_audio.corpus import DIGITS, EVENTS, TONES, TRANSCRIBE, build, main
from training.qwen_audio.manifest import ManifestError, read_manifest, split_of, write_manifest
from training.qwen_audio.tones import CADENCES, KEYS, SAMPLE_RATE, call_tone, draw_tone, keys_tone

HEAD = "path\tkind\tseconds\tlanguage\tlabel\tspeaker\tref_quality\tnote\n"
CORPUS = os.environ.get("TYMPAN_DATA")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("Press 1, please.", "press one please"),
        ("enter 2 0", "enter two zero"),
        ("M A R K", "m a r k"),
        ("it\N{RIGHT SINGLE QUOTATION MARK}s 'fine'", "it's fine"),
        ("dial 500", None),
        ("3.5 percent", None),
        ("press *", None),
    ],
)
def test_a_transcript_is_words_or_is_left_out(label: str, words: str | None) -> None:
    assert spoken(label) == words


@pytest.mark.parametrize(
    ("words", "digits"), [("seven oh three", "703"), ("0", None), ("enter five", None), ("", None)]
)
def test_digits_are_written_only_where_nothing_else_is_said(words: str, digits: str | None) -> None:
    assert written_digits(words) == digits


def test_tones_are_named_by_what_they_mean() -> None:
    assert tone_name("uk_ringback", "ringback tone UK 400+450 Hz") == "ringback tone"
    assert tone_name("star", "DTMF * x3") == "keys * * *"
    assert tone_name("seq", "DTMF #7a") == "keys # 7 a"
    assert tone_name("silence", "silence (digital zero)") is None


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("", "nothing"),
        ("703", "digits"),
        ("crying baby", "event"),
        ("busy tone", "tone"),
        ("keys 4 #", "tone"),
        ("dog house", "words"),
    ],
)
def test_the_form_of_a_text_tells_its_task(text: str, form: str) -> None:
    assert form_of(text) == form


def test_a_key_is_its_two_frequencies_and_nothing_else() -> None:
    """Q.23: the two strongest lines of the spectrum are the key's row and column, within 1.8 %."""
    for key, hertz in KEYS.items():
        samples = keys_tone(key, np.random.default_rng(3)).samples
        spectrum = np.abs(np.fft.rfft(samples, n=SAMPLE_RATE))
        low, high = spectrum[:1050], spectrum[1050:]
        found = (int(low.argmax()), 1050 + int(high.argmax()))
        assert found == pytest.approx(hertz, rel=0.018)


@pytest.mark.parametrize("name", CADENCES)
def test_call_tones_differ_from_draw_to_draw_and_keep_their_name(name: str) -> None:
    first, second = (call_tone(name, np.random.default_rng(seed)) for seed in (1, 2))
    assert first.name == second.name == name
    assert 2 * SAMPLE_RATE <= len(first.samples) <= 8 * SAMPLE_RATE
    assert not np.array_equal(first.samples[:1000], second.samples[:1000])


def test_drawn_tones_are_half_of_them_keys() -> None:
    generator = np.random.default_rng(0)
    names = Counter(draw_tone(generator).name.startswith("keys") for _ in range(200))
    assert 70 < names[True] < 130


def write_corpus(folder: Path, lines: list[str]) -> None:
    (folder / "MANIFEST.tsv").write_text(HEAD + "".join(line + "\n" for line in lines), encoding="utf-8")


def test_a_digit_string_is_learnt_under_two_tags(tmp_path: Path) -> None:
    write_corpus(tmp_path, ["speech/a.flac\tspeech\t2.0\ten\tseven oh three\tsomeone\texact (made)\t"])
    rows = [each for each in build(tmp_path, tmp_path / "out") if each.speaker == "someone"]
    asked = {each.task: each.target for each in rows if each.task != EVENTS}
    assert asked == {TRANSCRIBE: "seven oh three", DIGITS: "703"}


def test_what_is_no_answer_is_no_row(tmp_path: Path) -> None:
    """Other languages, transcripts that are not exact, clips that are too long, events of weak labels."""
    write_corpus(
        tmp_path,
        [
            "speech/a.flac\tspeech\t2.0\tfr\tbonjour\tx\texact\t",
            "speech/b.flac\tspeech\t2.0\ten\thello\tx\tASR-derived\t",
            "speech/c.flac\tspeech\t40.0\ten\thello\tx\texact\t",
            "event/fx/d.ogg\tevent\t2.0\t-\tdoor\t\tfile name\t",
            "tone/callprogress/silence.flac\ttone\t5.0\t-\tsilence\t\texact\t",
        ],
    )
    assert all(each.audio.startswith("tones/") for each in build(tmp_path, tmp_path / "out"))


def test_made_tones_are_learnt_from_and_never_tested_on(tmp_path: Path) -> None:
    write_corpus(tmp_path, ["tone/callprogress/us_busy.flac\ttone\t6.0\t-\tbusy tone US\t\texact\t"])
    rows = build(tmp_path, tmp_path / "out")
    assert [each.target for each in split_of(rows, "test")] == ["busy tone"]
    assert all((tmp_path / "out" / each.audio).is_file() for each in split_of(rows, "train"))


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [row("a.flac", "hello", TRANSCRIBE), row("/b.flac", "dog", EVENTS, split="test")]
    write_manifest(tmp_path / "m" / "manifest.jsonl", rows)
    read = read_manifest(tmp_path / "m" / "manifest.jsonl")
    assert [each.audio for each in read] == [str(tmp_path / "m" / "a.flac"), "/b.flac"]
    for ours, theirs in zip(read, rows, strict=True):
        assert (ours.task, ours.target, ours.split) == (theirs.task, theirs.target, theirs.split)


def test_what_is_no_manifest_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ManifestError, match="cannot read"):
        read_manifest(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(ManifestError, match="no rows"):
        read_manifest(tmp_path / "empty.jsonl")
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    (tmp_path / "MANIFEST.tsv").write_text("path\tkind\na\tspeech\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="no column"):
        build(tmp_path, tmp_path / "out")
    assert "MANIFEST.tsv" in capsys.readouterr().err


@pytest.mark.skipif(not CORPUS, reason="needs TYMPAN_DATA")
def test_no_speaker_and_no_fold_is_trained_and_tested_on(tmp_path: Path) -> None:
    rows = build(Path(str(CORPUS)) / "data", tmp_path)
    train, test = split_of(rows, "train"), split_of(rows, "test")
    learnt = [*train, *split_of(rows, "validation")]
    assert not {each.audio for each in learnt} & {each.audio for each in test}
    assert not {each.speaker for each in learnt if each.speaker} & {each.speaker for each in test}
    assert all("/4-" in each.audio for each in test if each.kind == "event")
    assert not any("/4-" in each.audio for each in learnt if each.kind == "event")
    counts = Counter(each.group for each in train)
    assert min(counts.values()) > 300
    assert {each.task for each in test} == {TRANSCRIBE, DIGITS, EVENTS, TONES}
    assert Counter(each.target for each in test if each.kind == "event").most_common()[-1][1] == 8
