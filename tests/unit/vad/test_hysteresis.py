from vad.hysteresis import Hysteresis

FRAME = 512


def feed(hysteresis: Hysteresis, *probabilities: float) -> list[bool]:
    spoken = []
    for index, probability in enumerate(probabilities):
        hysteresis.update(probability, index * FRAME, (index + 1) * FRAME)
        spoken.append(hysteresis.speaking)
    return spoken


def test_speech_is_confirmed_after_its_minimum_and_dated_back_to_its_first_frame() -> None:
    hysteresis = Hysteresis(0.5, 3 * FRAME)
    assert feed(hysteresis, 0.1, 0.9, 0.9, 0.9) == [False, False, False, True]
    assert hysteresis.onset_sample == FRAME
    assert hysteresis.offset_sample == 4 * FRAME


def test_a_click_is_no_speech() -> None:
    hysteresis = Hysteresis(0.5, 3 * FRAME)
    assert not any(feed(hysteresis, 0.9, 0.9, 0.0, 0.9, 0.9, 0.0))
    assert hysteresis.offset_sample is None
    assert hysteresis.onset_sample is None


def test_speech_goes_on_below_the_threshold_but_cannot_begin_there() -> None:
    hysteresis = Hysteresis(0.5, 0)
    assert feed(hysteresis, 0.4, 0.5, 0.36, 0.34, 0.4) == [False, True, True, False, False]
    assert hysteresis.offset_sample == 3 * FRAME


def test_a_candidate_is_carried_by_the_lower_threshold_too() -> None:
    assert feed(Hysteresis(0.5, 3 * FRAME), 0.5, 0.4, 0.4) == [False, False, True]


def test_new_thresholds_leave_speech_that_goes_on_alone() -> None:
    hysteresis = Hysteresis(0.5, 0)
    feed(hysteresis, 0.9)
    hysteresis.configure(0.9, 10 * FRAME)
    hysteresis.update(0.8, FRAME, 2 * FRAME)
    assert hysteresis.speaking


def test_after_a_reset_speech_must_begin_anew() -> None:
    hysteresis = Hysteresis(0.5, 2 * FRAME)
    feed(hysteresis, 0.9, 0.9)
    hysteresis.reset()
    hysteresis.update(0.9, 2 * FRAME, 3 * FRAME)
    assert not hysteresis.speaking
    assert hysteresis.onset_sample == 2 * FRAME
