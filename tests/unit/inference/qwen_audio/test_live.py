"""Live clips: asked at any time about what was heard so far, and answered as whole prompts would be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inference.qwen_audio.cache import CacheError, CacheLedger, held_bytes
from inference.qwen_audio.generate import Decoding, GenerationBatch, generate
from inference.qwen_audio.incremental import IncrementalSettings
from inference.qwen_audio.live import Listener, LiveClip
from tests.support.qwen_checkpoints import TINY, random_model, tiny_config, tiny_model
from tests.unit.inference.qwen_audio.test_audio_encoder import SECOND, mel, voice
from tests.unit.inference.qwen_audio.test_model import CLOSE, ids

BLOCKS = IncrementalSettings("blocks", block_frames=10, right_frames=6)
EXACT = IncrementalSettings("exact")
WHOLE = 60  # tokens of the longest prompt here
FREE = Decoding(frozenset(), max_new=5)


def prompt_so_far(clip: LiveClip, before: list[int]) -> list[Tensor]:
    marks = tiny_model().audio.audio_bos_eos_token.weight
    return [
        torch.tensor(before, dtype=torch.long),
        marks[:1],
        clip.stream.settled(),
        clip.stream.provisional,
        marks[1:],
    ]


def logits_alone(prompt: list[Tensor]) -> Tensor:
    model = tiny_model()
    return model.prefill([model.new_cache(WHOLE)], [prompt])[0]


@pytest.mark.parametrize("chosen", [BLOCKS, EXACT])
@pytest.mark.parametrize("before", [[], [3, 4, 5]])
def test_each_answer_is_that_of_the_whole_prompt_at_this_head(chosen: IncrementalSettings, before: list[int]) -> None:
    model = tiny_model()
    listener = Listener(model, chosen)
    clip = listener.open(before, WHOLE)
    for chunk in voice(SECOND).split(3001):
        clip.stream.append(chunk)
        listener.advance([clip])
        (forks,) = listener.ask([clip], [2])
        tasks = [ids(4, 1), ids(7, 2)]
        for task, logits in zip(tasks, model.prefill(forks, [[task] for task in tasks]), strict=True):
            torch.testing.assert_close(logits, logits_alone([*prompt_so_far(clip, before), task]), **CLOSE)


def test_an_ended_clip_under_exact_is_the_one_shot_prompt() -> None:
    model, listener = tiny_model(), Listener(tiny_model(), EXACT)
    clip = listener.open(prompt_length=WHOLE)
    for chunk in voice(SECOND).split(5000):
        clip.stream.append(chunk)
        listener.advance([clip])
    listener.advance([clip], end=True)
    found = model.prefill(listener.heard([clip]), [[ids(6)]])[0]
    torch.testing.assert_close(found, logits_alone([*model.encode_audio([mel(SECOND)]), ids(6)]), **CLOSE)


def test_questions_leave_no_trace() -> None:
    listener = Listener(tiny_model(), BLOCKS)
    asked, silent = listener.open(prompt_length=WHOLE), listener.open(prompt_length=WHOLE)
    for chunk in voice(SECOND).split(2500):
        for clip in (asked, silent):
            clip.stream.append(chunk)
        listener.advance([asked])
        for fork in listener.heard([asked]):
            fork.release()
    listener.advance([silent])
    caches = listener.heard([asked]) + listener.heard([silent])
    first, second = tiny_model().prefill(caches, [[ids(3)]] * 2)
    torch.testing.assert_close(first, second, **CLOSE)


def test_settled_audio_is_read_by_the_language_model_once() -> None:
    listener = Listener(tiny_model(), BLOCKS)
    clip = listener.open([1, 2], WHOLE)
    for chunk in voice(SECOND).split(2000):
        clip.stream.append(chunk)
        listener.advance([clip])
        assert clip.cache.length == 2 + 1 + clip.stream.settled_tokens


def test_tasks_of_several_clips_are_decoded_in_one_batch_while_the_clips_go_on() -> None:
    model, listener, batch = tiny_model(), Listener(tiny_model(), BLOCKS), GenerationBatch(tiny_model())
    clips = [listener.open([seed], WHOLE) for seed in (1, 2)]
    for seed, clip in enumerate(clips):
        clip.stream.append(voice(9000 + 3000 * seed, seed))
    listener.advance(clips)
    prompts, keys = [], []
    for member, forks in enumerate(listener.ask(clips, [2, 3])):
        for task, fork in enumerate(forks):
            prompts.append([*prompt_so_far(clips[member], [member + 1]), ids(4, task)])
            keys.append(batch.join(fork, [ids(4, task)], FREE))
    found = batch.step(2)
    for clip in clips:
        clip.stream.append(voice(5000, 9))
    listener.advance(clips)
    rest = batch.step(3)
    expected = [generate_within(prompt) for prompt in prompts]
    assert [[*found[key].ids, *rest[key].ids] for key in keys] == expected
    assert model.config == TINY


def generate_within(prompt: list[Tensor]) -> list[int]:
    batch = GenerationBatch(tiny_model())
    key = batch.join(tiny_model().new_cache(WHOLE), prompt, FREE)
    return list(batch.step(FREE.max_new)[key].ids)


def test_released_clips_and_answers_hold_nothing() -> None:
    ledger = CacheLedger()
    listener = Listener(tiny_model(), BLOCKS, ledger)
    clip = listener.open()
    clip.stream.append(voice(SECOND))
    listener.advance([clip])
    (forks,) = listener.ask([clip], [3])
    assert ledger.bytes == held_bytes([clip.cache, *forks])
    clip.release()
    for fork in forks:
        fork.release()
    assert ledger.bytes == 0


def test_what_had_no_room_is_read_when_there_is_some() -> None:
    model = tiny_model()
    step = 64 * TINY.num_hidden_layers * 2 * TINY.attention_width * 4
    ledger = CacheLedger(limit_bytes=step)
    listener = Listener(model, BLOCKS, ledger)
    blocker = model.new_cache(ledger=ledger)
    model.prefill([blocker], [[ids(1)]])
    clip = listener.open(prompt_length=WHOLE)
    clip.stream.append(voice(SECOND))
    with pytest.raises(CacheError):
        listener.advance([clip])
    blocker.release()
    listener.advance([clip])
    assert clip.cache.length == 1 + clip.stream.settled_tokens


def test_the_rotary_base_is_chosen_for_a_full_window_by_default() -> None:
    listener = Listener(random_model(tiny_config(seq_length=2048, max_position_embeddings=8192)), BLOCKS)
    assert listener.open([1] * 100).cache.alpha == 1.0


def test_ending_a_clip_answers_like_its_generated_prompt() -> None:
    model, listener = (
        random_model(tiny_config(seq_length=64)),
        Listener(random_model(tiny_config(seq_length=64)), EXACT),
    )
    clip = listener.open(prompt_length=50)
    clip.stream.append(voice(SECOND))
    listener.advance([clip], end=True)
    batch = GenerationBatch(listener.model)
    key = batch.join(listener.heard([clip])[0], [ids(4)], FREE)
    prompt = [*model.encode_audio([mel(SECOND)]), ids(4)]
    assert [list(batch.step(FREE.max_new)[key].ids)] == generate(model, [prompt], FREE)
