"""What the clients of a load run say, and when they begin."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.clips import Clip, Row
from benchmarks.load.script import make_scripts, start_offsets

RATE = 16_000


def clip(name: str, seconds: float, level: int = 1000) -> Clip:
    return Clip(Row(name, Path(name), f"words of {name}"), np.full(round(seconds * RATE), level, np.int16), RATE)


CORPUS = [clip("a", 1.0), clip("b", 2.0), clip("c", 0.5)]


def test_a_script_is_whole_clips_one_after_another_and_long_enough() -> None:
    (script,) = make_scripts(CORPUS, 1, 7.0, 1.0, seed=1)
    assert 7.0 <= script.seconds < 7.0 + 2.0
    assert bool((script.samples == 1000).all())
    names = script.row.transcript.split("words of ")[1:]
    lengths = {one.row.path: one.seconds for one in CORPUS}
    assert sum(lengths[name.strip()] for name in names) == pytest.approx(script.seconds)
    assert sorted(name.strip() for name in names[:3]) == ["a", "b", "c"], "every clip once before any comes again"


def test_scripts_differ_and_the_same_seed_makes_the_same() -> None:
    many = [clip(str(index), 0.1 + index / 100) for index in range(30)]
    first, second = make_scripts(many, 2, 3.0, 1.0, seed=1)
    assert first.row.transcript != second.row.transcript
    again = make_scripts(many, 2, 3.0, 1.0, seed=1)
    assert [one.row for one in again] == [first.row, second.row]
    assert np.array_equal(again[0].samples, first.samples)
    assert make_scripts(many, 1, 3.0, 1.0, seed=2)[0].row.transcript != first.row.transcript


def test_the_duty_is_the_share_of_speech() -> None:
    (script,) = make_scripts([clip("a", 1.0)], 1, 60.0, 0.4, seed=1)
    assert float((script.samples != 0).mean()) == pytest.approx(0.4, abs=0.02)
    first_silence = int(np.argmax(script.samples == 0))
    assert first_silence == RATE
    assert bool((script.samples[RATE : RATE + 24_000] == 0).all())
    assert script.samples[RATE + 24_000] != 0


def test_telephone_clips_are_sent_at_the_models_rate() -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)).astype(np.int16)
    (script,) = make_scripts([Clip(Row("t", Path("t"), "tone"), tone, 8000)], 1, 0.5, 1.0, seed=1)
    assert script.sample_rate == RATE
    assert len(script.samples) == pytest.approx(RATE, abs=2)


@pytest.mark.parametrize(("count", "seconds", "duty"), [(0, 1.0, 1.0), (1, 0.0, 1.0), (1, 1.0, 0.0), (1, 1.0, 1.1)])
def test_numbers_that_make_no_sense_are_refused(count: int, seconds: float, duty: float) -> None:
    with pytest.raises(ValueError, match="duty"):
        make_scripts(CORPUS, count, seconds, duty, seed=1)


def test_clients_begin_anywhere_in_the_ramp() -> None:
    offsets = start_offsets(200, 10.0, seed=1)
    assert offsets == sorted(offsets)
    assert min(offsets) >= 0
    assert max(offsets) < 10
    assert np.histogram(offsets, bins=10, range=(0, 10))[0].min() > 5
    assert start_offsets(200, 10.0, seed=1) == offsets
