"""The tag head: blocks to scores, the same alone and in company; what it was trained on; its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inference.tagging.head import HeadMismatchError, TagHead
from inference.tagging.hysteresis import Threshold
from inference.whisper.pooled import PooledBlock

LABELS = ("Speech", "Music", "Bark")


def head() -> TagHead:
    torch.manual_seed(1)
    made = TagHead(LABELS, layers=3, d_model=8, context_blocks=4, hidden=6)
    with torch.no_grad():
        for each in made.parameters():
            each.copy_(torch.randn_like(each))
    return made.eval()


def blocks(count: int, seed: int = 0) -> list[PooledBlock]:
    random = torch.Generator().manual_seed(seed)
    return [PooledBlock(n * 8000, (n + 1) * 8000, torch.randn(3, 2, 8, generator=random)) for n in range(count)]


def test_scores_are_probabilities_of_each_label_for_the_newest_block() -> None:
    scores = head().scores([blocks(4), blocks(1)])
    assert scores.shape == (2, 3)
    assert bool(((scores >= 0) & (scores <= 1)).all())


def test_a_block_scores_the_same_in_any_company() -> None:
    tagger = head()
    alone = tagger.scores([blocks(3, seed=5)])
    among = tagger.scores([*(blocks(4, seed) for seed in range(20)), blocks(3, seed=5), blocks(1)])
    torch.testing.assert_close(among[20:21], alone, atol=1e-5, rtol=1e-5)


def test_blocks_before_its_context_change_nothing_and_those_within_do() -> None:
    tagger, heard = head(), blocks(9)
    torch.testing.assert_close(tagger.scores([heard]), tagger.scores([heard[-4:]]))
    assert not torch.allclose(tagger.scores([heard[-4:]]), tagger.scores([heard[-3:]]))


def test_a_clip_scores_what_its_better_half_does() -> None:
    tagger, heard = head(), blocks(2)
    each = tagger.scores([heard[:1], heard])
    torch.testing.assert_close(tagger.clip_scores(heard), each.max(dim=0).values)


def test_it_comes_back_from_its_file_as_it_was_in_half_precision(tmp_path: Path) -> None:
    made = head()
    made.thresholds, made.speech_below = {"Bark": Threshold(0.7, 0.4)}, 0.2
    made.save(tmp_path / "head.safetensors", {"command": "test"})
    read = TagHead.load(tmp_path / "head.safetensors")
    assert (read.labels, read.thresholds, read.speech_below) == (LABELS, made.thresholds, 0.2)
    torch.testing.assert_close(read.scores([blocks(4)]), made.scores([blocks(4)]), atol=1e-2, rtol=1e-2)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(HeadMismatchError, match="not a tag head"):
        TagHead.load(tmp_path / "x.safetensors")


def test_it_fits_the_encoder_that_it_was_trained_on_and_no_other() -> None:
    assert head().fits(layers=2, d_model=8)
    assert not head().fits(layers=4, d_model=8)
    assert not head().fits(layers=2, d_model=16)
