"""From decoded tokens to a hypothesis: words with times and confidence, remarks about sound apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inference.engine.tasks import Task
from inference.pool.interface import Hypothesis, HypothesisWord, Sound
from inference.whisper.alignment import token_starts
from inference.whisper.decoding import Decoded
from inference.whisper.features import FRAME
from inference.whisper.guards import FinalGuard, without_silent_repeats
from inference.whisper.text import WordSplitter, take_out_annotations


class HypothesisWriter:
    def __init__(self, splitter: WordSplitter, guard: FinalGuard) -> None:
        self._splitter = splitter
        self._guard = guard

    def hypothesis(self, task: Task) -> Hypothesis:
        """The decoded task's answer; an interim's is also kept as the next one's draft."""
        job, decoded = task.job, task.decoded
        final = job.kind != "interim"
        if final and self._guard.is_silence(decoded.no_speech, decoded.mean_logprob) and not job.prefix:
            decoded.tokens, decoded.logprobs = [], []
        starts = _token_starts(task, decoded)
        if not final:
            utterance = task.utterance
            held = () if decoded.held is None else (decoded.held,)
            utterance.draft, utterance.logprobs = (*decoded.tokens, *held), tuple(decoded.logprobs)
            utterance.starts = starts

        def at(index: int) -> int:
            return min(job.start_sample + starts[index] * FRAME, job.until_sample)

        words, remarks = take_out_annotations(self._splitter.words(decoded.tokens, task.language))
        if task.repeats and job.speech_until is not None:
            spoken = [word.first < len(job.prefix) or at(word.first) < job.speech_until for word in words]
            heard = max((index + 1 for index, each in enumerate(spoken) if each), default=0)
            words = words[: without_silent_repeats([self._splitter.said(word.tokens) for word in words], heard)]
        return Hypothesis(
            stream=job.stream,
            utterance=job.utterance,
            revision=job.revision,
            final=job.kind == "final",
            early=job.kind == "early_final",
            decoded_until=job.until_sample,
            words=tuple(
                HypothesisWord(
                    text=word.text,
                    start_sample=at(word.first),
                    # An interim's word lasts until the next one: what follows it may change its punctuation.
                    end_sample=at(word.first + (self._splitter.spoken(word.tokens) if final else len(word.tokens))),
                    confidence=_confidence(decoded.logprobs[word.first : word.first + len(word.tokens)]),
                    tokens=word.tokens,
                    glued=word.glued,
                )
                for word in words
            ),
            sounds=tuple(Sound(r.label, at(r.first), at(r.first + r.count)) for r in remarks),
            language=task.language,
            fallback=task.fallback,
        )


def _token_starts(task: Task, decoded: Decoded) -> tuple[int, ...]:
    """First frame of each token and the end of the last; of bound tokens known from before, as before."""
    count, bound = len(decoded.tokens), len(task.job.prefix)
    if count == 0:
        return (0,)
    frames = task.audio.head_frames
    spoken = -(-(task.job.until_sample - task.job.start_sample) // FRAME)
    utterance = task.utterance
    known = 0
    if task.job.kind == "interim" and bound and utterance.draft[:bound] == task.job.prefix:
        known = min(bound, len(utterance.starts) - 1)
    first_frame = min(utterance.starts[known], frames - 1) if known else 0
    fresh = token_starts(decoded.attention, known, first_frame)
    starts = [*utterance.starts[:known], *(int(frame) for frame in fresh)]
    starts += [frames] * (count + 1 - len(starts))  # a decode that was cut has no row for its end
    return tuple(min(frame, spoken) for frame in starts)


def _confidence(logprobs: Sequence[float]) -> float:
    """Mean probability of a word's tokens."""
    if not logprobs:
        return 0.0
    mean: float = torch.tensor(logprobs, dtype=torch.float64).exp().mean().item()
    return round(mean, 4)
