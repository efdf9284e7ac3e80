"""The incremental encoder against transformers' own, its grid, its cost and its silence."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inference.whisper import encoder as encoder_module
from inference.whisper.encoder import BLOCK_FRAMES, EncoderSettings, WhisperIncrementalEncoder
from inference.whisper.state import UtteranceState, silence_positions
from tests.support.checkpoints import (
    FRAME,
    SECOND,
    bundled_model,
    clip,
    feature_extractor,
    floats,
    hear,
    noise,
    transformers_model,
)

POSITIONS = 1500  # frames in a window


@lru_cache(maxsize=1)
def encoder() -> WhisperIncrementalEncoder:
    """tiny.en in float32 with the settings as they are."""
    return WhisperIncrementalEncoder(bundled_model())


@lru_cache(maxsize=1)
def every_frame() -> WhisperIncrementalEncoder:
    """Its full window is Whisper's own: every frame of the silence."""
    return WhisperIncrementalEncoder(bundled_model(), EncoderSettings(window_density=((0, 1),)))


def heard(pcm: NDArray[np.int16], start_sample: int = 0) -> UtteranceState:
    return hear(encoder().new_state(start_sample), pcm)


def end(state: UtteranceState) -> int:
    return state.end_sample


def cross(state: UtteranceState, frames: int) -> torch.Tensor:
    """What the decoder attends to: (decoder layers, 2, heads, frames, size)."""
    return torch.stack([torch.stack(state.cross_attention.read(layer, frames)) for layer in range(4)])


@torch.inference_mode()
def transformers_cross(pcm: NDArray[np.int16]) -> torch.Tensor:
    """The same from transformers' encoder over a full window, (layers, 2, heads, 1500, size)."""
    model = transformers_model().model
    mel = feature_extractor()(floats(pcm), sampling_rate=SECOND, return_tensors="pt").input_features
    states = model.encoder(mel).last_hidden_state[0]
    parts = [[layer.encoder_attn.k_proj(states), layer.encoder_attn.v_proj(states)] for layer in model.decoder.layers]
    return torch.stack([torch.stack([bundled_model().split_heads(part) for part in pair]) for pair in parts])


CLIPS = {
    "half a second": lambda: clip("question.flac")[8000:16_000],
    "off the frame grid": lambda: clip("prose.flac")[: 2 * SECOND + 123],
    "a question": lambda: clip("question.flac"),
    "telephone": lambda: clip("telephone.wav"),
    "nearly the whole window": lambda: clip("long.flac")[: 30 * SECOND - FRAME],
}


@pytest.mark.parametrize("name", CLIPS)
def test_over_the_full_window_it_is_transformers_encoder(name: str) -> None:
    """Every frame of the window, in what each decoder layer attends to, within 1e-3 of values of up to about 10."""
    pcm = CLIPS[name]()
    state = heard(pcm)
    (whole,) = every_frame().encode_many([(state, end(state))], full_window=True)
    torch.testing.assert_close(cross(whole, POSITIONS), transformers_cross(pcm), atol=1e-3, rtol=1e-3)


def test_a_right_context_over_the_whole_utterance_is_a_full_pass() -> None:
    """With a dense tail, a head is then one bidirectional pass; what differs is only the constant tail of silence."""
    pcm = clip("question.flac")
    settings = EncoderSettings(right_context_frames=POSITIONS, tail_stride=1)
    patient = WhisperIncrementalEncoder(bundled_model(), settings)
    state = hear(patient.new_state(0), pcm)
    patient.advance([(state, end(state))])
    assert state.kept_frames == 0
    frames = state.head_frames
    theirs = transformers_cross(pcm)[:, :, :, :frames]
    ours = cross(state, frames)
    assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.99


def test_with_full_right_context_the_incremental_encoder_is_transformers_encoder() -> None:
    """Over a window full of audio, where no tail stands for the rest: every head so far, and then all of it."""
    pcm = clip("long.flac")[: POSITIONS * FRAME - 200]  # whose mirror at the window's end theirs would hear
    patient = WhisperIncrementalEncoder(bundled_model(), EncoderSettings(right_context_frames=POSITIONS))
    state = hear(patient.new_state(0), pcm)
    for until_sample in (SECOND, 11 * SECOND, len(pcm)):
        patient.advance([(state, until_sample)])
    assert (state.kept_frames, state.head_frames) == (0, POSITIONS)
    torch.testing.assert_close(cross(state, POSITIONS), transformers_cross(pcm), atol=1e-3, rtol=1e-3)


class TestThinSilence:
    @pytest.mark.parametrize("head", [0, 1, 26, 700, 1483, 1499, 1500])
    @pytest.mark.parametrize(
        "density", [((24, 2), (64, 4), (0, 16)), ((16, 1), (64, 4), (0, 16)), ((0, 1),), ((0, 7),)]
    )
    def test_each_position_after_the_head_is_stood_for_once(
        self, head: int, density: tuple[tuple[int, int], ...]
    ) -> None:
        """The frames are in order, behind the head, within the window; their weights add up to what is left of it."""
        frames, bias = silence_positions(head, POSITIONS, density)
        assert sum(math.exp(b) for b in bias) == pytest.approx(POSITIONS - head)
        assert frames == sorted(set(frames))
        assert all(head <= frame < POSITIONS for frame in frames)
        at = head
        for frame, weight in zip(frames, (round(math.exp(b)) for b in bias), strict=True):
            assert at <= frame < at + weight
            at += weight

    def test_a_frame_in_the_middle_of_each_stride_stands_for_it(self) -> None:
        """Four pairs from frame 10 on, then strides of 16, of which the window's end cuts the last to 6."""
        frames, bias = silence_positions(10, 40, ((8, 2), (0, 16)))
        assert frames == [11, 13, 15, 17, 26, 37]
        assert [round(math.exp(b)) for b in bias] == [2, 2, 2, 2, 16, 6]

    def test_a_stride_of_one_is_every_frame_at_its_own_weight(self) -> None:
        assert silence_positions(1490, POSITIONS, ((0, 1),)) == (list(range(1490, 1500)), [0.0] * 10)

    @pytest.mark.parametrize("name", ["question.flac", "prose.flac"])
    @pytest.mark.parametrize(("dense", "tolerance"), [(False, 0.15), (True, 0.03)])
    def test_thin_silence_is_near_every_frame_of_it(self, name: str, dense: bool, tolerance: float) -> None:
        """Share of the norm of keys and values, at every layer: of usual finals, and of those that are decoded again.
        What is read off them is the same text."""
        state = heard(clip(name))
        (thin,) = encoder().encode_many([(state, end(state))], full_window=dense)
        (full,) = every_frame().encode_many([(state, end(state))], full_window=True)
        ours, theirs = cross(thin, thin.head_frames), cross(full, thin.head_frames)
        distance = (ours - theirs).flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1)
        assert float(distance.max()) < tolerance

    def test_the_final_pass_costs_a_tenth_of_the_window_more_than_its_frames(self) -> None:
        state = heard(noise(4 * SECOND))
        before = encoder().frames_computed
        encoder().encode_many([(state, end(state))])
        cost = encoder().frames_computed - before
        assert 202 < cost < 202 + 150


class TestGrid:
    @pytest.mark.parametrize("offset_frames", [0, 1, 7, 24, 25, 1234])
    def test_kept_blocks_end_on_the_sample_clocks_grid(self, offset_frames: int) -> None:
        start = offset_frames * FRAME
        state = heard(noise(3 * SECOND), start)
        seen = set()
        for until in range(start + 1000, end(state), 3700):
            encoder().advance([(state, until)])
            if state.kept_frames:
                seen.add(state.kept_frames)
                assert (offset_frames + state.kept_frames) % BLOCK_FRAMES == 0
        assert len(seen) > 2

    def test_a_block_is_kept_once_its_right_context_was_heard(self) -> None:
        """Blocks of 25 frames, 25 frames of right context: the first is kept at frame 50, not before."""
        state = heard(noise(2 * SECOND))
        encoder().advance([(state, 50 * FRAME - 1)])
        assert (state.kept_frames, state.head_frames) == (0, 50)
        encoder().advance([(state, 50 * FRAME)])
        assert (state.kept_frames, state.head_frames) == (25, 50)
        encoder().advance([(state, 100 * FRAME)])
        assert (state.kept_frames, state.head_frames) == (75, 100)

    def test_a_segment_begins_on_the_frame_grid(self) -> None:
        with pytest.raises(ValueError, match="multiple of 320 samples, not at 100"):
            encoder().new_state(100)

    def test_audio_that_is_not_there_cannot_be_encoded(self) -> None:
        state = heard(noise(1000))
        with pytest.raises(ValueError, match="1001 is wanted, 1000 is there"):
            encoder().advance([(state, 1001)])

    def test_an_utterance_fills_the_window_and_no_more(self) -> None:
        state = heard(noise(31 * SECOND))
        encoder().advance([(state, 30 * SECOND)])
        assert (state.head_frames, state.kept_frames) == (POSITIONS, POSITIONS - 25)
        (whole,) = encoder().encode_many([(state, 30 * SECOND)])
        assert whole.head_frames == POSITIONS
        assert bool(cross(whole, POSITIONS).isfinite().all())


class TestCost:
    @pytest.mark.parametrize("right_context", [25, 50])
    def test_frames_computed_per_frame_are_those_of_a_block_and_its_right_context(self, right_context: int) -> None:
        """On the grid: (25 + R) / 25, plus the one look at the start that is not kept yet."""
        settings = EncoderSettings(right_context_frames=right_context)
        own = WhisperIncrementalEncoder(bundled_model(), settings)
        state = hear(own.new_state(0), noise(20 * SECOND))
        for until in range(SECOND // 2, 20 * SECOND + 1, SECOND // 2):
            own.advance([(state, until)])
        per_frame = (right_context + BLOCK_FRAMES) / BLOCK_FRAMES
        assert own.frames_computed / state.head_frames == pytest.approx(per_frame, rel=0.05)

    def test_the_cost_is_counted_from_zero(self) -> None:
        assert WhisperIncrementalEncoder(bundled_model()).frames_computed == 0

    def test_the_same_head_again_costs_nothing(self) -> None:
        state = heard(noise(SECOND))
        encoder().advance([(state, SECOND)])
        before = encoder().frames_computed
        encoder().advance([(state, SECOND)])
        assert encoder().frames_computed == before


class TestIndependence:
    def test_a_final_does_not_depend_on_interims(self) -> None:
        pcm = clip("question.flac")
        asked, silent = heard(pcm), heard(pcm)
        for until in (7000, 16_000, 16_001, 40_000):
            encoder().advance([(asked, until)])
        finals = [encoder().encode_many([(state, end(state))])[0] for state in (asked, silent)]
        assert torch.equal(cross(finals[0], finals[0].head_frames), cross(finals[1], finals[0].head_frames))

    def test_a_final_leaves_the_interims_state_as_it_is(self) -> None:
        state = heard(clip("question.flac"))
        encoder().advance([(state, 30_000)])
        before = (state.kept_frames, state.head_frames, cross(state, state.head_frames).clone())
        encoder().encode_many([(state, end(state))])
        assert (state.kept_frames, state.head_frames) == before[:2]
        assert torch.equal(cross(state, state.head_frames), before[2])

    @pytest.mark.parametrize("full_window", [False, True])
    def test_finals_of_a_batch_are_those_of_single_runs(self, full_window: bool) -> None:
        states = [
            heard(noise(samples, seed=samples), 320 * 3)
            for samples in ((5000, 50_000) if full_window else (5000, 33_333, 100_000))
        ]
        together = encoder().encode_many([(state, end(state)) for state in states], full_window)
        for state, whole in zip(states, together, strict=True):
            (alone,) = encoder().encode_many([(state, end(state))], full_window)
            assert alone.head_frames == whole.head_frames
            frames = whole.head_frames
            torch.testing.assert_close(cross(whole, frames), cross(alone, frames), atol=1e-4, rtol=1e-4)

    def test_interims_of_a_batch_are_those_of_single_runs(self) -> None:
        """Utterances of different lengths, one of them several blocks behind."""
        lengths, starts = (5000, 33_333, 70_000), (0, 320 * 7, 8000)
        batch = [heard(noise(n, seed=n), start) for n, start in zip(lengths, starts, strict=True)]
        single = [heard(noise(n, seed=n), start) for n, start in zip(lengths, starts, strict=True)]
        encoder().advance([(batch[1], starts[1] + 20_000)])
        encoder().advance([(state, end(state)) for state in batch])
        for mine, alone in zip(batch, single, strict=True):
            encoder().advance([(alone, end(alone))])
            assert (mine.kept_frames, mine.head_frames) == (alone.kept_frames, alone.head_frames)
            frames = mine.head_frames
            torch.testing.assert_close(cross(mine, frames), cross(alone, frames), atol=1e-4, rtol=1e-4)

    def test_a_step_that_failed_leaves_nothing_half_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next try computes what the failed one did not."""
        state, untouched = heard(noise(5000)), heard(noise(5000))

        def fail(*args: object) -> torch.Tensor:
            raise torch.OutOfMemoryError("no memory left")

        with monkeypatch.context() as patch:
            patch.setattr(encoder_module, "attend", fail)
            with pytest.raises(torch.OutOfMemoryError):
                encoder().advance([(state, 5000)])
        for each in (state, untouched):
            encoder().advance([(each, 5000)])
        assert torch.equal(cross(state, 16), cross(untouched, 16))


@pytest.mark.parametrize(
    "wrong",
    [
        {"right_context_frames": 0},
        {"tail_stride": 0},
        {"silence_density": ()},
        {"silence_density": ((4, 0),)},
        {"silence_density": ((-1, 1),)},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        EncoderSettings(**wrong)  # type: ignore[arg-type]
