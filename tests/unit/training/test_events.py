"""The tag head's training: what teaches what, scenes and their truth, a fit that learns, thresholds that hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from training.events.fit import Blocks, fit, predict, thresholds
from training.events.scenes import BLOCK, UNSURE, SceneMaker, mark, telephone
from training.events.sources import LABELS, RATE, CorpusError, Source, active, sources

HEADER = "path\tkind\tseconds\tsample_rate\tchannels\tlanguage\tlabel\tsource\tlicense\tspeaker\tref_quality\tnote\n"


def tone(seconds: float, hertz: float) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two recordings of each fold of a dog and of rain, and speech, music, noise and babble."""
    rows = []

    def add(path: str, kind: str, label: str, samples: NDArray[np.float32]) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, samples, RATE)
        rows.append(f"{path}\t{kind}\t1\t{RATE}\t1\t-\t{label}\t-\t-\t-\t-\t-\n")

    for fold in range(1, 5):
        for index, (label, hertz) in enumerate((("dog", 500), ("rain", 2000))):
            add(f"event/esc10/{fold}-1-A-{index}.wav", "event", label, tone(2, hertz + fold))
    for index in range(12):
        add(f"speech/{index}.flac", "speech", "hello", tone(3, 150 + index))
        add(f"music/{index}.flac", "music", "music, song with female singing" if index % 2 else "music", tone(3, 900))
        add(f"noise/{index}.flac", "noise", "white noise", np.full(RATE, 0.01, np.float32))
    add("noise/babble.flac", "noise", "babble, 6 talkers", tone(1, 300))
    (tmp_path / "MANIFEST.tsv").write_text(HEADER + "".join(rows))
    return tmp_path


def test_labels_are_audiosets_and_no_other_recording_has_one(corpus: Path) -> None:
    every = {each.path: each for each in sources(corpus)}
    assert (every["event/esc10/2-1-A-0.wav"].label, every["event/esc10/2-1-A-0.wav"].fold) == ("Bark", 2)
    assert every["speech/0.flac"].label == "Speech"
    assert every["noise/3.flac"].label is None
    assert "noise/babble.flac" not in every, "somebody speaks in it, or does not"
    assert [every[f"music/{index}.flac"].exact for index in (0, 1)] == [True, False], "a singer may be said to speak"
    with pytest.raises(CorpusError, match=r"MANIFEST\.tsv"):
        sources(corpus / "speech")


def test_scenes_are_seeded_and_of_one_fold(corpus: Path) -> None:
    every = sources(corpus)
    one, again, other = (SceneMaker(every, 2, seed) for seed in (1, 1, 2))
    made = [one.make() for _ in range(8)]
    assert all((a.pcm == b.pcm).all() for a, b in zip(made, [again.make() for _ in range(8)], strict=True))
    assert any((a.pcm != b.pcm).any() for a, b in zip(made, [other.make() for _ in range(8)], strict=True))
    assert {scene.fold for scene in made} == {2}
    assert any(scene.truth.max() == 1 for scene in made)


def test_a_third_of_a_block_holds_a_label_and_less_is_unsure() -> None:
    truth = np.zeros((4, len(LABELS)), np.float32)
    dog = Source("d", Path("d"), "esc10", "Bark", 1, True)
    mark(truth, dog, BLOCK // 2, np.ones(15, bool))  # to two frames into the second block
    column = truth[:, LABELS.index("Bark")].tolist()
    assert column == [1, UNSURE, 0, 0]


def test_of_what_is_not_exact_speech_is_not_said() -> None:
    truth = np.zeros((2, len(LABELS)), np.float32)
    mark(truth, Source("m", Path("m"), "music", "Music", 1, False), 0, np.ones(25, bool))
    assert truth[0, LABELS.index("Music")] == 1
    assert truth[:, LABELS.index("Speech")].tolist() == [UNSURE, 0]


def test_a_recording_is_active_where_it_sounds() -> None:
    silence = np.zeros(RATE, np.float32)
    on = active(np.concatenate([silence, tone(1, 440), silence]))
    assert not on[:40].any()
    assert on[55:95].all()
    assert not on[110:].any()


def test_a_telephone_lets_300_to_3400_hz_through() -> None:
    def level(hertz: float) -> float:
        return float(np.sqrt((telephone(tone(1, hertz).astype(np.float64)) ** 2).mean()))

    assert level(1000) == pytest.approx(0.354, abs=0.05)
    assert level(100) < 0.02
    assert level(5000) < 0.02


def blocks(count: int, seed: int) -> Blocks:
    """Clips of ten blocks; one label is seen in a number of a block, another in that of the blocks up to it."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 2, 16, generator=random)
    truth = torch.zeros(count, len(LABELS))
    truth[:, 0] = (x[:, 1, 3] > 0.5).float()
    lately = x[:, 0, 5].reshape(-1, 10)
    truth[:, 1] = (
        torch.stack([lately[:, max(0, n - 3) : n + 1].mean(1) > 0 for n in range(10)], dim=1).flatten().float()
    )
    place = torch.arange(count) % 10
    truth[::7, 0] = UNSURE
    return Blocks(x.half(), truth, place, torch.ones(count, dtype=torch.long))


def test_a_fit_learns_what_a_block_and_those_before_it_hold() -> None:
    head = fit(blocks(4000, 0), epochs=25, seed=0, tell=lambda: None)
    held_out = blocks(1000, 1)
    scores = predict(head, held_out)
    for column in (0, 1):
        said = held_out.truth[:, column] >= 0
        right = (scores[said, column] > 0.5) == (held_out.truth[said, column] == 1)
        assert right.float().mean() > 0.85


def test_thresholds_let_no_more_pass_falsely_than_is_allowed() -> None:
    random = torch.Generator().manual_seed(3)
    truth = (torch.rand(7200, len(LABELS), generator=random) < 0.1).float()
    scores = (0.5 * truth + 0.5 * torch.rand(7200, len(LABELS), generator=random)).clamp(0, 1)
    found = thresholds(scores, truth, false_per_hour=20)
    for column, label in enumerate(LABELS):
        passed = (scores[:, column] >= found[label].on) & (truth[:, column] == 0)
        assert int(passed.sum()) <= 20
        assert found[label].off < found[label].on
