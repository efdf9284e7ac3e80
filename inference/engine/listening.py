"""What a step hears beside words: the scores of blocks that jobs ask for, and whether anybody speaks at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inference.engine.tasks import Task, Utterance
from inference.pool.interface import BlockScores
from inference.tagging.hearing import Hearing, Tagger
from inference.whisper.encoder import WhisperIncrementalEncoder
from inference.whisper.pooled import PooledBlock, PooledStates
from inference.whisper.state import UtteranceState

SPEECH = "Speech"


class Listening:
    """Order of calls in a step: `advance`, `score` and `silent` when all is encoded, `answer`."""

    def __init__(self, tagger: Tagger, encoder: WhisperIncrementalEncoder) -> None:
        self._tagger = tagger
        self._encoder = encoder
        self._speech = tagger.labels.index(SPEECH) if SPEECH in tagger.labels else None

    def begin(self, audio: UtteranceState) -> None:
        """A new utterance: its passes keep what the layers hold."""
        audio.pooled = PooledStates()

    def advance(self, tasks: Iterable[Task]) -> None:
        """Encodes what wanted blocks lack, as far as their audio is here. Where interims kept up with the audio there
        is nothing to do."""
        wanted = [(task.utterance.audio, task.job.sounds) for task in tasks]
        self._encoder.advance(
            (audio, min(sounds.until_sample, audio.end_sample)) for audio, sounds in wanted if sounds is not None
        )

    def score(self, tasks: Iterable[Task]) -> None:
        """Scores the blocks that are kept since the last time."""
        utterances = {id(task.utterance): task.utterance for task in tasks}.values()
        asked = [(utterance, index) for utterance in utterances for index in _unscored(utterance)]
        wanted = [self._hearing(utterance.audio, _kept(utterance.audio), index) for utterance, index in asked]
        for (utterance, index), scores in zip(asked, self._tagger.hear(wanted) if wanted else [], strict=True):
            block = _kept(utterance.audio)[index]
            utterance.heard.append(BlockScores(block.first_sample, block.until_sample, scores))

    def silent(self, tasks: Sequence[Task]) -> list[Task]:
        """Those in whose audio nobody speaks: what a model wrote about them would be invented.

        Finals are judged by their own pass, interims by all blocks so far. What must begin with words that were said
        is not judged.
        """
        if self._speech is None or not self._tagger.speech_below:
            return []
        judged = [task for task in tasks if not task.job.prefix and not self._spoken_already(task)]
        new = [self._unjudged(task) for task in judged]
        scores = iter(self._tagger.hear([hearing for each in new for hearing in each]) if any(new) else [])
        most = [max((next(scores)[self._speech] for _ in each), default=1.0) for each in new]
        return [task for task, speech in zip(judged, most, strict=True) if speech < self._tagger.speech_below]

    def _spoken_already(self, task: Task) -> bool:
        """Of an interim whose kept blocks say so."""
        assert self._speech is not None
        heard = task.utterance.heard if task.job.kind == "interim" else []
        return any(block.scores[self._speech] >= self._tagger.speech_below for block in heard)

    def _unjudged(self, task: Task) -> list[Hearing]:
        """What is to be scored to know whether somebody speaks: of an interim what is not kept yet."""
        blocks = _all_blocks(task.audio)
        known = len(task.utterance.heard) if task.job.kind == "interim" else 0
        first = max(0, min(known, len(blocks) - 1))
        return [self._hearing(task.audio, blocks, index) for index in range(first, len(blocks))]

    def answer(self, task: Task) -> tuple[BlockScores, ...]:
        """What the task's job asks for, as far as it can be known."""
        wanted = task.job.sounds
        if wanted is None:
            return ()
        heard = [each for each in task.utterance.heard if each.until_sample > wanted.from_sample]
        return (*heard, *self._rest(task)) if wanted.rest else tuple(heard)

    def _rest(self, task: Task) -> Iterable[BlockScores]:
        audio = task.utterance.audio
        known = _all_blocks(audio)
        indices = range(len(_kept(audio)), len(known))
        scores = self._tagger.hear([self._hearing(audio, known, index) for index in indices]) if indices else []
        for index, each in zip(indices, scores, strict=True):
            until = min(known[index].until_sample, task.job.until_sample)
            yield BlockScores(known[index].first_sample, until, each)

    def _hearing(self, audio: UtteranceState, blocks: Sequence[PooledBlock], index: int) -> Hearing:
        return Hearing(audio, blocks[max(0, index + 1 - self._tagger.context_blocks) : index + 1])


def _kept(audio: UtteranceState) -> list[PooledBlock]:
    return audio.pooled.kept if audio.pooled is not None else []


def _all_blocks(audio: UtteranceState) -> list[PooledBlock]:
    return [] if audio.pooled is None else [*audio.pooled.kept, *audio.pooled.provisional]


def _unscored(utterance: Utterance) -> range:
    return range(len(utterance.heard), len(_kept(utterance.audio)))
