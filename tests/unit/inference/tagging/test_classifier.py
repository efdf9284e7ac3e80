"""Any audio classifier of transformers as a tagger, on tiny checkpoints that the tests write themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)

from inference.engine.engine import build_engine
from inference.engine.settings import EngineSettings
from inference.pool.interface import EngineStartError, Job, SoundsWanted, StreamSpec
from inference.tagging.classifier import ClassifierTagger
from inference.tagging.load import load_tagger
from inference.whisper.weights import load_weights
from tests.support.checkpoints import SECOND, clip

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny AST with AudioSet's number of labels."""
    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=128, num_labels=527
    )
    ASTForAudioClassification(config).save_pretrained(folder)
    ASTFeatureExtractor(max_length=128).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny wav2vec 2.0 that chooses one of three labels."""
    folder = tmp_path_factory.mktemp("wav2vec2")
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(5, 4),
        conv_kernel=(10, 8),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        num_labels=3,
        id2label={0: "dog", 1: "rain", 2: "music"},
    )
    Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def test_the_worker_hears_with_it(ast: Path) -> None:
    engine = build_engine("tiny.en", "cpu", EngineSettings(tagger=f"hub:{ast}", precision="float32"))
    assert len(engine.info.sounds) == 527
    engine.open("s", StreamSpec())
    engine.append("s", 1, 0, clip("question.flac")[: 2 * SECOND].astype("<i2").tobytes())
    result = engine.step([Job("s", 1, 1, "sounds", 0, 2 * SECOND, sounds=SoundsWanted(0, 2 * SECOND))])
    heard = result.hypotheses[0].heard
    assert len(heard) == 3
    assert all(0 <= score <= 1 for block in heard for score in block.scores)


def test_labels_of_audioset_hold_side_by_side_and_others_add_up_to_one(ast: Path, wav2vec2: Path) -> None:
    for folder, one_of_many in ((ast, False), (wav2vec2, True)):
        engine = build_engine("tiny.en", "cpu", EngineSettings(tagger=f"hub:{folder}", precision="float32"))
        engine.open("s", StreamSpec())
        noise = np.random.default_rng(0).integers(-3000, 3000, SECOND).astype("<i2")
        engine.append("s", 1, 0, noise.tobytes())
        result = engine.step([Job("s", 1, 1, "sounds", 0, SECOND, sounds=SoundsWanted(0, SECOND))])
        total = sum(result.hypotheses[0].heard[0].scores)
        assert (total == pytest.approx(1, abs=1e-3)) is one_of_many


def test_its_labels_are_the_checkpoints(wav2vec2: Path) -> None:
    assert ClassifierTagger(str(wav2vec2), CPU).labels == ("dog", "rain", "music")


@pytest.mark.parametrize("name", ["hub:", "nothing", "hub"])
def test_an_unknown_name_is_refused_with_what_would_be_right(name: str) -> None:
    with pytest.raises(EngineStartError, match="`builtin`, `off`, or `hub:`"):
        load_tagger(name, load_weights("tiny.en").config, CPU)


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineStartError, match="cannot be loaded"):
        load_tagger(f"hub:{tmp_path}", load_weights("tiny.en").config, CPU)


def test_off_hears_nothing() -> None:
    assert load_tagger("off", load_weights("tiny.en").config, CPU) is None


def test_a_classifier_of_another_rate_is_refused(wav2vec2: Path, tmp_path: Path) -> None:
    Wav2Vec2ForSequenceClassification.from_pretrained(wav2vec2).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(sampling_rate=32_000).save_pretrained(tmp_path)
    with pytest.raises(EngineStartError, match="32000 Hz"):
        ClassifierTagger(str(tmp_path), CPU)
