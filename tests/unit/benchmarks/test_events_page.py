"""docs/events.md: its figures are the result's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.events.measure import Told, event_scores
from benchmarks.events.mixtures import Mixture, Truth
from benchmarks.events.page import PAGE, RESULT, render


def test_the_page_is_what_the_generator_makes_of_the_result() -> None:
    page = PAGE.read_text("utf-8")
    assert render(page, json.loads(RESULT.read_text("utf-8"))) == page


def test_a_page_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for its figures"):
        render("nothing", json.loads(RESULT.read_text("utf-8")))


def test_an_event_is_a_hit_by_its_label_and_its_begin_and_false_where_nothing_of_its_label_sounds() -> None:
    hour = np.zeros(3600 * 16_000, np.int16)
    truth = (Truth("Bark", 10.0, 12.0), Truth("Rain", 20.0, 25.0), Truth("Rain", 40.0, 45.0))
    told = Told(
        events=[
            ("Bark", 10.2, 12.0),  # within 250 ms
            ("Rain", 20.4, 25.0),  # within 500 ms
            ("Rain", 42.0, 45.0),  # heard, too late
            ("Bark", 30.0, 31.0),  # false
            ("Music", 30.0, 31.0),  # of no label that is in the truth
        ]
    )
    assert event_scores([Mixture(hour, truth)], [told]) == {
        "f1_250_ms": round(2 * 1 / 7, 3),
        "f1_500_ms": round(2 * 2 / 7, 3),
        "heard": 1.0,
        "false_per_hour": 1.0,
    }
