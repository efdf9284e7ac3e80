"""A row becomes the prompt of inference, and labels that leave the prompt out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from inference.pool.tasks import Task
from inference.qwen_audio.checkpoint import load_model
from inference.qwen_audio.features import clip_mel
from inference.qwen_audio.prompts import task_prompt
from inference.qwen_audio.tags import to_tags
from tests.support.qwen_audio import tokenizer
from tests.support.training_qwen_audio import row, write_checkpoint, write_tones
from training.qwen_audio.audio import encoder_states, masked, project, read_clip, span_of
from training.qwen_audio.config import Augment
from training.qwen_audio.examples import IGNORED, to_example, with_noise
from training.qwen_audio.forward import learnt_logits

SPAN = 12
SPEECH = Task(name="transcribe", language="en")
DIGITS = Task(name="transcribe", language="en", written=True)


def test_the_prompt_is_what_inference_gives() -> None:
    example = to_example(row("a.flac", "hello", SPEECH), tokenizer())
    assert example.prompt == task_prompt(to_tags(SPEECH), tokenizer())


def test_two_tasks_of_one_clip_differ_in_their_tags_alone() -> None:
    """Digits are transcription with another output instruction."""
    words, digits = (to_example(row("a.flac", "hello", task), tokenizer()).prompt for task in (SPEECH, DIGITS))
    ids = [prompt.ids([SPAN], tokenizer().specials) for prompt in (words, digits)]
    assert [tokenizer().specials.name(a) for a, b in zip(*ids, strict=True) if a != b] == ["wo_itn"]


def test_labels_are_the_answer_and_its_end_and_nothing_of_the_prompt() -> None:
    """Position i predicts token i + 1, so that the prompt's last position predicts the answer's first token."""
    example = to_example(row("a.flac", "hello", SPEECH), tokenizer())
    prompt = example.prompt.ids([SPAN], tokenizer().specials)
    sequence = prompt + list(example.answer)
    labels = example.labels(SPAN)
    assert len(labels) == example.positions(SPAN) == len(sequence) - 1
    assert labels[: len(prompt) - 1] == [IGNORED] * (len(prompt) - 1)
    assert labels[len(prompt) - 1 :] == sequence[len(prompt) :]
    assert labels[-1] == tokenizer().specials.end_of_text


def test_nothing_said_is_an_answer_too() -> None:
    assert to_example(row("a.flac", "", SPEECH), tokenizer()).answer == (tokenizer().specials.end_of_text,)


def test_without_tags_the_answer_follows_the_audio() -> None:
    example = to_example(row("a.flac", "hello", SPEECH), tokenizer(), tags=False)
    assert example.prompt.positions([SPAN]) == SPAN


def test_a_chat_turn_asks_in_words_and_ends_with_its_own_token() -> None:
    question = Task(name="question", question="What is it?")
    example = to_example(row("a.flac", "hello", question), tokenizer(), form="chat")
    asked = tokenizer().render(example.prompt.ids([2], tokenizer().specials))
    assert "Audio 1:<audio></audio>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n" in asked
    assert example.answer[-1] == tokenizer().specials.im_end


def test_noise_changes_what_is_read_by_its_share() -> None:
    read = (3,) * 4000
    changed = with_noise(read, 0.25, 256, np.random.default_rng(0))
    assert 0.2 < np.mean([a != b for a, b in zip(read, changed, strict=True)]) < 0.3
    assert with_noise(read, 0.0, 256, np.random.default_rng(0)) == read


def test_logits_and_gradients_are_those_of_the_models_own_forward(tmp_path: Path) -> None:
    """At the positions that have a label; two sequences of different lengths, packed."""
    words = write_checkpoint(tmp_path)
    model = load_model(tmp_path).requires_grad_(True)
    files = write_tones(tmp_path / "tones", 2)
    examples = [to_example(row(files[0], "hello"), words), to_example(row(files[1], "the"), words)]
    heard = model.encode_audio([clip_mel(read_clip(str(file)), 80) for file in files])
    logits, labels = learnt_logits(model, examples, heard, [example.answer[:-1] for example in examples])
    F.cross_entropy(logits, labels).backward()
    gradient = model.audio.conv1.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    model.zero_grad()
    heard = model.encode_audio([clip_mel(read_clip(str(file)), 80) for file in files])
    prompts = [
        [clip, torch.tensor([*example.prompt.parts[1], *example.answer[:-1]])]  # type: ignore[misc]
        for clip, example in zip(heard, examples, strict=True)
    ]
    whole = torch.cat(model(prompts))
    labels_of = [each.labels(len(clip)) for each, clip in zip(examples, heard, strict=True)]
    every = torch.tensor([label for row_ in labels_of for label in row_])
    F.cross_entropy(whole, every, ignore_index=IGNORED).backward()
    assert torch.allclose(logits, whole[every != IGNORED], atol=1e-5)
    assert torch.allclose(gradient, model.audio.conv1.weight.grad, atol=1e-6)  # type: ignore[arg-type]


def test_states_and_their_projection_are_the_encoders_output(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    encoder = load_model(tmp_path).audio
    mels = [clip_mel(read_clip(str(file)), 80) for file in write_tones(tmp_path, 2)]
    for ours, whole in zip(project(encoder, encoder_states(encoder, mels)), encoder(mels), strict=True):
        assert torch.allclose(ours, whole, atol=1e-5)


def test_masks_stay_within_their_bounds() -> None:
    """At most a fifth of the clip each, and at most so many bins; without masks nothing changes."""
    features = torch.arange(80 * 50, dtype=torch.float32).view(80, 50)
    assert masked(features, Augment(), 100, np.random.default_rng(0)) is features
    for seed in range(20):
        time = masked(features, Augment(time_masks=1, time_mask_s=9), 100, np.random.default_rng(seed)) != features
        assert int(time.any(dim=0).sum()) <= 10
        bins = masked(features, Augment(frequency_masks=1, frequency_mask_bins=7), 100, np.random.default_rng(seed))
        assert int((bins != features).any(dim=1).sum()) <= 7


def test_another_speed_makes_a_clip_shorter_and_its_span_is_a_bound(tmp_path: Path) -> None:
    (file,) = write_tones(tmp_path, 1)
    assert len(read_clip(str(file), 1.25)) == pytest.approx(len(read_clip(str(file))) / 1.25, abs=2)
    assert span_of(0.4) >= 12
    assert span_of(0.4, slowest=0.5) >= 22
