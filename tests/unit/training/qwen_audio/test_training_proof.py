"""The proof's parts: its vocabulary and encoder, what its figures count, and the page that they are written to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from benchmarks.report import replace_between
from inference.adapters.choose import QWEN_AUDIO, model_type_of
from inference.qwen_audio.checkpoint import load_model
from inference.qwen_audio.features import clip_mel
from inference.qwen_audio.tokenizer import load_tokenizer
from inference.whisper.weights import load_weights
from tests.support.clips import read_clip
from tests.support.training_qwen_audio import row
from training.qwen_audio.corpus import DIGITS, EVENTS, TONES, TRANSCRIBE
from training.qwen_audio.manifest import Row
from training.qwen_audio.proof.figures import form_matrix, task_figures, trained_pairs, word_error_rates
from training.qwen_audio.proof.page import NAME, PAGE, proof
from training.qwen_audio.proof.start import make_start, write_vocabulary

TEXTS = ["the lights in the hall", "the light is on", "keys 4 1 #", "you're right"]


def test_the_document_is_what_the_kept_result_makes_of_it() -> None:
    """After a new result: python -m training.qwen_audio.proof."""
    text = PAGE.document.read_text("utf-8")
    assert replace_between(text, PAGE.markdown()) == text
    assert NAME in PAGE.read()


def test_a_vocabulary_spells_everything_and_knows_the_words_it_was_made_of(tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "qwen.tiktoken", TEXTS, merges=40)
    words = load_tokenizer(tmp_path)
    for text in (*TEXTS, "Zoë 你好 👋", "703"):
        assert words.decode(words.encode_text(text)) == text
    assert len(words.encode_text(" light")) < len(" light")
    assert len(words.encode_text("703")) == 3


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    make_start(folder, TEXTS, seed=0)
    return folder


def test_what_comes_of_the_start_is_known_for_what_it_is(start: Path) -> None:
    assert model_type_of(str(start)) == QWEN_AUDIO


def test_the_start_hears_what_tiny_en_hears(start: Path) -> None:
    """Before pooling, its states of a full window are those of transformers' Whisper encoder on the same weights."""
    pcm, _ = read_clip("question.flac")
    window = torch.nn.functional.pad(torch.from_numpy(pcm).float() / 32768, (0, 480_000 - len(pcm)))
    mel = clip_mel(window, 80)
    weights = load_weights()
    shape = WhisperConfig(
        vocab_size=weights.config.vocab_size,
        d_model=384,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_ffn_dim=1536,
    )
    whisper = WhisperForConditionalGeneration(shape).eval()
    whisper.load_state_dict(weights.state)
    encoder = load_model(start).audio

    def attention(*parts: torch.Tensor) -> torch.Tensor:
        mixed = torch.nn.functional.scaled_dot_product_attention(*(part.transpose(0, 1)[None] for part in parts))
        return mixed[0].transpose(0, 1).reshape(1500, -1)

    with torch.inference_mode():
        theirs = whisper.model.encoder(mel[None]).last_hidden_state[0]
        x = encoder.stem(mel)
        for block in encoder.blocks:
            x = block(x, attention)
        assert torch.allclose(encoder.ln_post(x), theirs, atol=1e-3)


def rows_and_answers() -> tuple[list[Row], dict[Any, str]]:
    """A spelled name, two digit strings, an event, a call tone and keys, each answered under every tag."""

    def made(audio: str, kind: str, group: str, task: Any, target: str, speaker: str = "") -> Row:
        fields = {"kind": kind, "group": group, "speaker": speaker}
        return Row(audio=audio, task=task, target=target, split="test", seconds=1.0, **fields)  # type: ignore[arg-type]

    rows = [
        made("name", "speech", "transcription", TRANSCRIBE, "m a r k", "an4-x"),
        made("one", "digits", "transcription", TRANSCRIBE, "seven three", "fsdd-x"),
        made("one", "digits", "digits", DIGITS, "73", "fsdd-x"),
        made("two", "digits", "digits", DIGITS, "1234", "fsdd-x"),
        made("dog", "event", "events", EVENTS, "dog"),
        made("busy", "tone", "tones", TONES, "busy tone"),
        made("keys", "keys", "tones", TONES, "keys 4 1 # 2"),
    ]
    answers = {(each.audio, task): "" for each in rows for task in (TRANSCRIBE, DIGITS, EVENTS, TONES)}
    answers |= {
        ("name", TRANSCRIBE): "m a r c",
        ("one", TRANSCRIBE): "seven three",
        ("one", DIGITS): "73",
        ("two", DIGITS): "134",
        ("dog", EVENTS): "dog",
        ("busy", TONES): "dial tone",
        ("keys", TONES): "keys 4 1 2",
    }
    return rows, answers


def test_each_task_is_measured_on_its_own_rows() -> None:
    """One letter of four is wrong; one digit of six is missing; one key of four is missing."""
    rows, answers = rows_and_answers()
    figures = task_figures(rows, answers)
    assert figures["transcription"]["AN4: spelled names, numbers, commands"]["wer"] == 25.0
    assert figures["transcription"]["all"]["wer"] == pytest.approx(100 / 6, abs=0.1)
    assert figures["digits"] == {"exact": 50.0, "clips": 2, "symbol_errors": pytest.approx(100 / 6, abs=0.1)}
    assert figures["events"] == {"exact": 100.0, "clips": 1}
    assert figures["call tones"] == {"exact": 0.0, "clips": 1}
    assert figures["keys"] == {"exact": 0.0, "clips": 1, "symbol_errors": 25.0}


def test_numbers_in_words_and_in_digits_are_the_same_words() -> None:
    """The reference decoder writes 73 where seven three was said."""
    rows = [each for each in rows_and_answers()[0] if each.audio == "one" and each.group == "transcription"]
    assert word_error_rates(rows, {"one": "7, 3."})["all"]["wer"] == 0.0


def test_the_matrix_says_which_form_each_kind_of_clip_is_answered_in_under_each_tag() -> None:
    matrix = form_matrix(*rows_and_answers())
    assert matrix["digits"]["transcription"] == {"words": 50.0, "nothing": 50.0}
    assert matrix["digits"]["digits"] == {"digits": 100.0}
    assert matrix["keys"]["tones"] == {"tone": 100.0}


def test_only_training_counts_as_trained() -> None:
    rows = [row("a.flac", "dog"), row("b.flac", "dog"), row("c.flac", "dog", split="test")]
    assert trained_pairs(rows) == {"": {"events": 2}}


def test_the_page_tells_seeds_apart_and_marks_what_was_never_trained() -> None:
    kept = json.loads((PAGE.results / f"{NAME}.json").read_text("utf-8"))
    for name in ("with tags", "without tags"):
        kept["runs"][name] = [json.loads(json.dumps(kept["runs"][name][0])) for _ in range(2)]
    kept["runs"]["with tags"][0]["figures"]["events"]["exact"] = 80.0
    kept["runs"]["with tags"][1]["figures"]["events"]["exact"] = 90.0
    table = proof(kept)
    assert "85.0 (80.0-90.0)" in table
    line = next(line for line in table.splitlines() if line.startswith("| sound events |") and "event 100 %" in line)
    untrained, trained = line.split(" | ")[2], line.split(" | ")[3]
    assert untrained.startswith("*")
    assert not trained.startswith("*")
