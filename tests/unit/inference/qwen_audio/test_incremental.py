"""A clip encoded while it is spoken: chunks never matter, what is settled never changes, and each policy's law."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inference.qwen_audio.features import TOKEN_SAMPLES, WINDOW_SAMPLES, ClipTooLong, clip_lengths, clip_mel
from inference.qwen_audio.incremental import AudioStream, IncrementalAudioEncoder, IncrementalSettings
from inference.whisper.features import LogMel, normalise
from tests.support.qwen_checkpoints import tiny_model
from tests.unit.inference.qwen_audio.test_audio_encoder import SECOND, voice

EXACT = IncrementalSettings("exact")
SMALL = IncrementalSettings("blocks", block_frames=10, left_frames=None, right_frames=6)
BOUNDED = IncrementalSettings("blocks", block_frames=10, left_frames=20, right_frames=6)
FRAME = 320
SAME = {"atol": 0.0, "rtol": 0.0}
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def encoder(chosen: IncrementalSettings) -> IncrementalAudioEncoder:
    return IncrementalAudioEncoder(tiny_model().audio, chosen)


def one_shot(pcm: Tensor) -> Tensor:
    return tiny_model().encode_audio([clip_mel(pcm, 80)])[0][1:-1]


def heard(chosen: IncrementalSettings, pcm: Tensor, chunks: list[int], asked: list[bool], end: bool) -> AudioStream:
    """The clip given in chunks, encoded after some of them and at its head."""
    encodes = encoder(chosen)
    stream = encodes.new_stream()
    for index, chunk in enumerate(pcm.split(chunks)):
        stream.append(chunk)
        if asked[index % len(asked)]:
            encodes.advance([stream])
    encodes.advance([stream], end)
    return stream


@st.composite
def chunked(draw: st.DrawFn) -> tuple[Tensor, list[int], list[bool]]:
    chunks = draw(st.lists(st.integers(0, 9000), min_size=1, max_size=8))
    asked = draw(st.lists(st.booleans(), min_size=1, max_size=8))
    return voice(sum(chunks), draw(st.integers(0, 3))), chunks, asked


@settings(max_examples=30, deadline=None)
@given(chunked(), st.sampled_from([EXACT, SMALL, BOUNDED]), st.booleans())
def test_chunks_and_questions_never_matter(
    clip: tuple[Tensor, list[int], list[bool]], chosen: IncrementalSettings, end: bool
) -> None:
    pcm, chunks, asked = clip
    found = heard(chosen, pcm, chunks, asked, end)
    whole = heard(chosen, pcm, [pcm.shape[0]], [False], end)
    torch.testing.assert_close(found.settled(), whole.settled(), **SAME)
    torch.testing.assert_close(found.provisional, whole.provisional, **SAME)
    assert found.settled_tokens + found.provisional.shape[0] == clip_lengths(pcm.shape[0]).tokens


@settings(max_examples=15, deadline=None)
@given(chunked())
def test_exact_ends_with_what_one_pass_over_the_clip_gives(clip: tuple[Tensor, list[int], list[bool]]) -> None:
    pcm, chunks, asked = clip
    torch.testing.assert_close(heard(EXACT, pcm, chunks, asked, end=True).settled(), one_shot(pcm), **CLOSE)


def test_exact_gives_at_every_head_what_a_clip_gives_that_ends_there() -> None:
    pcm = voice(2 * SECOND)
    encodes = encoder(EXACT)
    stream = encodes.new_stream()
    for chunk in pcm.split(7000):
        stream.append(chunk)
        encodes.advance([stream])
        torch.testing.assert_close(stream.provisional, one_shot(pcm[: stream.head]), **CLOSE)
        assert stream.settled_tokens == 0


@pytest.mark.parametrize("samples", [WINDOW_SAMPLES, WINDOW_SAMPLES - 30])
def test_a_full_window_ends_exactly_as_well(samples: int) -> None:
    pcm = voice(samples)
    stream = heard(EXACT, pcm, [samples - 5, 5], [True], end=True)
    torch.testing.assert_close(stream.settled(), one_shot(pcm), **CLOSE)


def test_a_clip_shorter_than_its_first_block_is_encoded_exactly() -> None:
    pcm = voice(16 * FRAME - 1)
    torch.testing.assert_close(heard(SMALL, pcm, [3000, 2119], [True], end=True).settled(), one_shot(pcm), **CLOSE)


def test_a_block_is_settled_as_soon_as_its_right_context_is_there_and_then_stays() -> None:
    pcm = voice(2 * SECOND)
    encodes = encoder(SMALL)
    stream = encodes.new_stream()
    before = stream.settled()
    for chunk in pcm.split(FRAME):
        stream.append(chunk)
        encodes.advance([stream])
        frames = stream.samples // FRAME
        assert stream.settled_tokens == max(0, (frames - 6) // 10) * 5
        torch.testing.assert_close(stream.settled()[: before.shape[0]], before, **SAME)
        before = stream.settled()


def test_a_first_block_attends_to_itself_and_its_right_context_as_they_sound_with_silence_after() -> None:
    pcm, reach = voice(SECOND), 16
    model = tiny_model().audio
    raw, maximum = LogMel(80).at(pcm[: reach * FRAME], reach * FRAME, 2 * reach + 1)
    x = model.stem_run(torch.nn.functional.pad(normalise(raw, maximum), (2, 0)), 0)

    def attention(*parts: Tensor) -> Tensor:
        queries, keys, values = (part.transpose(0, 1) for part in parts)
        shares = (queries @ keys.transpose(1, 2) / queries.shape[-1] ** 0.5).softmax(dim=-1)
        return (shares @ values).transpose(0, 1).flatten(1)

    for block in model.blocks:
        x = block(x, attention)
    found = heard(SMALL, pcm, [SECOND], [True], end=False)
    torch.testing.assert_close(found.settled()[:5], model.pool(x[:10]), **CLOSE)


def test_settled_blocks_do_not_know_what_comes_behind_their_right_context() -> None:
    pcm = voice(SECOND)
    louder = pcm.clone()
    louder[16 * FRAME :] *= 3
    first, second = (heard(SMALL, each, [SECOND], [True], end=False) for each in (pcm, louder))
    torch.testing.assert_close(first.settled()[:5], second.settled()[:5], **SAME)
    assert (first.settled()[5:10] - second.settled()[5:10]).abs().max() > 1e-4


def test_left_context_is_seen_as_far_as_the_settings_say() -> None:
    pcm = voice(SECOND)
    other = pcm.clone()
    other[: 4 * FRAME] = other[: 4 * FRAME].flip(0)

    def third_block(chosen: IncrementalSettings, clip: Tensor) -> Tensor:
        return heard(chosen, clip, [SECOND], [True], end=False).settled()[10:15]

    near = IncrementalSettings("blocks", block_frames=10, left_frames=0, right_frames=6)
    torch.testing.assert_close(third_block(near, pcm), third_block(near, other), **SAME)
    assert (third_block(SMALL, pcm) - third_block(SMALL, other)).abs().max() > 1e-5


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, SECOND), min_size=1, max_size=4), st.sampled_from([EXACT, BOUNDED]))
def test_clips_encoded_together_are_encoded_as_alone(sizes: list[int], chosen: IncrementalSettings) -> None:
    encodes = encoder(chosen)
    clips = [voice(samples, seed) for seed, samples in enumerate(sizes)]
    streams = [encodes.new_stream() for _ in clips]
    for end in (False, True):
        for stream, pcm in zip(streams, clips, strict=True):
            half = pcm.shape[0] // 2
            stream.append(pcm[half:] if end else pcm[:half])
        encodes.advance(streams, end)
    for stream, pcm in zip(streams, clips, strict=True):
        half = pcm.shape[0] // 2
        alone = heard(chosen, pcm, [half, pcm.shape[0] - half], [True, False], end=True)
        torch.testing.assert_close(stream.settled(), alone.settled(), **CLOSE)


def test_frames_are_counted_and_blocks_cost_the_same_however_long_the_clip_is() -> None:
    encodes = encoder(BOUNDED)
    stream = encodes.new_stream()
    costs = []
    for chunk in voice(4 * SECOND).split(10 * FRAME):
        before = encodes.frames_computed
        stream.append(chunk)
        encodes.advance([stream])
        costs.append(encodes.frames_computed - before)
    assert costs[0] == 10
    assert set(costs[1:]) == {16 + 10}  # a block with its right context, and the provisional rest
    again = encoder(EXACT)
    stream = again.new_stream()
    for chunk in voice(4 * SECOND).split(10 * FRAME):
        stream.append(chunk)
        again.advance([stream])
    assert again.frames_computed == sum(range(10, 201, 10))


def test_asking_again_without_new_samples_costs_nothing() -> None:
    encodes = encoder(EXACT)
    stream = encodes.new_stream()
    stream.append(voice(5000))
    encodes.advance([stream])
    before = encodes.frames_computed
    encodes.advance([stream])
    assert encodes.frames_computed == before


@pytest.mark.parametrize("chosen", [EXACT, SMALL])
@pytest.mark.parametrize("samples", [0, 100, TOKEN_SAMPLES - 1])
def test_a_clip_too_short_for_a_token_has_none(chosen: IncrementalSettings, samples: int) -> None:
    assert heard(chosen, voice(samples), [samples], [True], end=True).settled().shape[0] <= 1


def test_samples_beyond_the_window_are_refused_whole() -> None:
    stream = encoder(SMALL).new_stream()
    stream.append(torch.zeros(WINDOW_SAMPLES - 10))
    with pytest.raises(ClipTooLong):
        stream.append(torch.zeros(11))
    assert (stream.samples, stream.room) == (WINDOW_SAMPLES - 10, 10)


def test_an_ended_clip_takes_nothing_more() -> None:
    stream = heard(SMALL, voice(1000), [1000], [False], end=True)
    with pytest.raises(ValueError, match="ended"):
        stream.append(torch.zeros(1))


@pytest.mark.parametrize(
    "wrong", [{"policy": "guess"}, {"block_frames": 5}, {"block_frames": 0}, {"right_frames": -1}, {"left_frames": -1}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"policy|block|context"):
        IncrementalSettings(**wrong)  # type: ignore[arg-type]
