"""The stabiliser's promises, for any sequence of hypotheses whatever."""

from __future__ import annotations

from itertools import count, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pool.interface import Hypothesis, HypothesisWord
from streaming.protocol.messages import InterimPolicy
from streaming.transcript.stabilizer import Stabilizer
from streaming.transcript.text import is_code, plain_text
from streaming.transcript.words import TranscriptWord

SAMPLES = st.integers(0, 50_000)

hypothesis_words = st.builds(
    lambda text, start, length, confidence, glued, token: HypothesisWord(
        text=text, start_sample=start, end_sample=start + length, confidence=confidence, tokens=token, glued=glued
    ),
    st.sampled_from(["a", "be", "c", "7", "a,", "ab", "A"]),
    SAMPLES,
    st.integers(-100, 9_000),
    st.sampled_from([0.2, 0.9]),
    st.booleans(),
    st.sampled_from([(1,), (1,), (2,), (1, 2), ()]),
)
sentences = st.lists(st.lists(hypothesis_words, max_size=6), min_size=1, max_size=10)
policies: st.SearchStrategy[InterimPolicy] = st.sampled_from(["stable", "append_only", "off"])


@settings(max_examples=100, deadline=None)
@given(
    sentences,
    policies,
    st.integers(1, 3),
    st.integers(0, 2),
    st.lists(st.integers(0, 20), min_size=10, max_size=10),
    st.booleans(),
    st.integers(0, 20_000),
    st.sampled_from([0, 8_000]),
)
def test_the_promises_hold_for_any_hypotheses(
    scripts: list[list[HypothesisWord]],
    policy: InterimPolicy,
    agreement: int,
    patience: int,
    revisions: list[int],
    steady: bool,
    not_before: int,
    tentative_hold_back: int,
) -> None:
    """Stable words never change while open, no number ends them, diffs give the words, ids are unique."""
    stabilizer = Stabilizer(
        1,
        0,
        policy,
        count(1).__next__,
        agreement,
        patient_agreement=agreement + patience,
        hold_back_samples=500,
        tentative_hold_back_samples=tentative_hold_back,
        min_confidence=0.5,
        not_before_sample=not_before,
    )
    read: list[TranscriptWord] = []
    stable: list[TranscriptWord] = []
    identity: dict[int, str] = {}
    latest = -1
    for index, words in enumerate(scripts):
        final = index == len(scripts) - 1
        revision = index if steady else revisions[index]
        update = stabilizer.hypothesis(
            Hypothesis(
                stream="s",
                utterance=1,
                revision=revision,
                final=final,
                decoded_until=30_000 + 5_000 * index,
                words=tuple(scripts[0][:3] + words) if steady else tuple(words),
            )
        )
        known = list(stabilizer.words)
        assert len({word.id for word in known}) == len(known)
        assert all(identity.setdefault(word.id, word.text) == word.text for word in known)
        assert [word.start_sample for word in known[:1]] >= [not_before][: len(known)]
        assert all(word.start_sample <= word.end_sample for word in known)
        assert all(a.end_sample <= b.start_sample for a, b in pairwise(known))
        if not final:
            assert known[: len(stable)] == stable
            stable = [word for word in known if word.state == "stable"]
            assert known[: len(stable)] == stable
            assert not any(is_code(word.text) for word in stable[-2:])
        if update is None:
            assert not final
            continue
        assert update.revision > latest
        latest = update.revision
        before, read = read, read[: update.from_word] + list(update.words)
        assert update.changed == (read != before)
        assert update.text == plain_text(read)
        if final:
            assert read == known
            assert all(word.state == "final" for word in read)
        else:
            held_back = known[len(read) :] if policy == "stable" and tentative_hold_back else []
            assert all(word.state == "tentative" for word in held_back)
            assert [*read, *held_back] == {"stable": known, "append_only": stable, "off": []}[policy]
        if policy == "append_only":
            assert [word.text for word in read[: len(before)]] == [word.text for word in before]
            assert update.corrected == update.corrected_exact == 0
    assert stabilizer.closed
