"""A session that is lost again and again, with its gateway: a client that sends again, a store, a scripted engine.

One `Random` decides when messages leave, when jobs are answered, when blocks are stored and what is lost.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.pool.fake import ALPHABET
from inference.pool.interface import Hypothesis, HypothesisWord, Job, JobError, Sound
from inference.pool.tasks import Answer
from streaming.protocol.messages import Audio, ClientMessage, Ready, ServerMessage, Start
from streaming.session.core import DetectorFactory, SessionCore
from streaming.session.effects import Append, CloseStream, Discard, Effect, Finished, OpenStream, StoreAudio, Submit
from streaming.session.outbox import is_numbered
from streaming.session.restore import restore_core
from tests.support.sessions import MODEL

WORD_SAMPLES = 6_400
_TOKENS = {text: token for token, text in enumerate([*ALPHABET, *(f"m{text}" for text in ALPHABET)])}
_TEXTS = {token: text for text, token in _TOKENS.items()}


def heard(job: Job, prefix: tuple[int, ...]) -> Hypothesis:
    """What a model hears that mishears some words in interims: a function of the job, but for the bound words."""
    words = []
    for at in range(-(-job.start_sample // WORD_SAMPLES), job.until_sample // WORD_SAMPLES):
        text = ALPHABET[at % len(ALPHABET)]
        if job.kind == "interim" and (at + job.until_sample // 8_000) % 5 == 0:
            text = f"m{text}"
        if len(words) < len(prefix):
            text = _TEXTS[prefix[len(words)]]
        end = min((at + 1) * WORD_SAMPLES, job.until_sample)
        words.append(HypothesisWord(text, at * WORD_SAMPLES, end, 0.9, (_TOKENS[text],)))
    final, early = job.kind == "final", job.kind == "early_final"
    sounds = (Sound("laughs", job.start_sample, job.start_sample + 3_200),) if job.kind != "interim" else ()
    return Hypothesis(
        job.stream, job.utterance, job.revision, final, job.until_sample, tuple(words), sounds=sounds, early=early
    )


Hear = Callable[[Job, tuple[int, ...]], Hypothesis]
"""What the engine answers to a job whose answer must begin with these tokens."""


def answered(job: Job, more: bool) -> Hypothesis:
    """Of an answer job, a function of its tasks and its audio."""
    span = f"{job.start_sample}-{job.until_sample}"
    answers = tuple(Answer(text=f"{task.name} {span}", labels=(task.name,)) for task in job.tasks)
    return Hypothesis(
        job.stream, job.utterance, job.revision, False, job.until_sample, (), answers=() if more else answers, more=more
    )


@dataclass
class Client:
    """What a client says, in order, and again from where it is told to."""

    start: Start
    samples: NDArray[np.int16]
    """(n, channels) at the start's rate"""
    plan: list[tuple[int, int] | ClientMessage]
    """Spans of samples to be sent, and commands between them."""

    def messages(self, next_sample: int, commands: int, random: Random) -> Iterable[ClientMessage]:
        """From a sample and a command on, cut anew."""
        seen = 0
        for item in self.plan:
            if not isinstance(item, tuple):
                seen += 1
                if seen > commands:
                    yield item
                continue
            first, until = max(item[0], next_sample), item[1]
            while first < until:
                cut = min(until, first + random.choice((100, 4_000, 9_000, 50_000)))
                yield Audio(first_sample=first, data=self.samples[first:cut].astype("<i2").tobytes())
                first = cut


@dataclass
class Store:
    """What outlives a gateway."""

    newest: StoreAudio | None = None
    tails: list[bytes] = field(default_factory=list)
    first_sample: int = 0
    log: list[ServerMessage] = field(default_factory=list)

    def commit(self, block: StoreAudio) -> None:
        assert block.last_seq <= len(self.log), "the log comes first"
        tails = self.tails or [b""] * len(block.pcm)
        end = self.first_sample + len(tails[0]) // 2
        assert block.first_sample == end, "blocks follow one another"
        cut = 2 * (min(block.needed_from, block.first_sample + len(block.pcm[0]) // 2) - self.first_sample)
        self.tails = [(old + new)[cut:] for old, new in zip(tails, block.pcm, strict=True)]
        self.first_sample += cut // 2
        self.newest = block

    def restore(self, start: Start, make_detector: DetectorFactory) -> SessionCore:
        """From copies, so that nothing is shared with the core that is lost."""
        known = self.newest.last_seq if self.newest else 0
        said = msgspec.msgpack.decode(msgspec.msgpack.encode(self.log[known:]), type=list[ServerMessage])
        state = self.newest.state if self.newest else b""
        return restore_core("s", start, state, self.first_sample, self.tails, said, make_detector)


class Gateway:
    """Carries out what one core asks for, in any order that is allowed."""

    def __init__(self, core: SessionCore, store: Store, random: Random, patience: float, hear: Hear = heard) -> None:
        """`patience`: how likely it is, 0 to 1, that what can wait waits."""
        self.core = core
        self._hear = hear
        self._store = store
        self._random = random
        self._patience = patience
        self._jobs: dict[str, deque[Job]] = {}
        self._audio: dict[tuple[str, int], tuple[int, int]] = {}
        self._to_store: deque[StoreAudio] = deque()
        self._now = 0.0
        self.done = False

    def open(self, *, resumed: bool) -> Ready:
        core = self.core
        effects = core.resume(MODEL, 1 << 20, self._now) if resumed else core.begin(MODEL, 1 << 20)
        ready = core.outbox.pop()
        assert isinstance(ready, Ready)
        assert ready.resumed is resumed
        self.carry_out(effects)
        self._work()
        return ready

    def give(self, message: ClientMessage) -> None:
        while not self.core.can_accept:
            self._something(everything=True)
        self.carry_out(self.core.receive(message, self._now))
        self._work()
        self._something()

    def finish(self) -> None:
        """Until all is said."""
        while not self.done:
            self._something(everything=True)
        while self._say():
            pass

    def _work(self) -> None:
        while self.core.busy:
            while not self.core.can_accept:
                self._something(everything=True)
            self.carry_out(self.core.work(self._now))
            self._something()

    def _something(self, *, everything: bool = False) -> None:
        self._now += 0.25
        for act in (self._say, self._answer, self._commit, self._tick):
            while everything or self._random.random() > self._patience:
                if not act():
                    break

    def _say(self) -> bool:
        message = self.core.outbox.pop()
        if message is not None and is_numbered(message):
            assert message.seq == len(self._store.log) + 1
            self._store.log.append(message)
        return message is not None

    def _answer(self) -> bool:
        queues = [queue for queue in self._jobs.values() if queue]
        if not queues:
            return False
        job = self._random.choice(queues).popleft()
        if job.kind == "interim" and self._random.random() < 0.1:
            self.carry_out(self.core.job_failed(JobError(job.stream, job.utterance, job.revision, "internal", "no")))
            return True
        if job.kind == "answer":
            return self._answer_tasks(job)
        held = self._audio.get((job.stream, job.utterance))
        if held is not None:
            assert held[0] == job.start_sample
            assert held[1] >= job.until_sample, "the engine has the audio before the job"
            self.carry_out(self.core.hypothesis(self._hear(job, self.core.prefix_tokens(job)), self._now))
        return True

    def _answer_tasks(self, job: Job) -> bool:
        """The engine has its audio, or asks the session for it."""
        held = self._audio.get((job.stream, job.utterance))
        if held is None:
            segment = self.core.segment_pcm(job.utterance)
            assert segment is not None
            held = segment[0], segment[0] + len(segment[1]) // 2
        assert held[0] == job.start_sample
        assert held[1] >= job.until_sample
        self.carry_out(self.core.hypothesis(answered(job, self._random.random() < 0.3), self._now))
        return True

    def _commit(self) -> bool:
        if not self._to_store:
            return False
        block = self._to_store.popleft()
        self._store.commit(block)
        whole = self.core.whole_block()
        if not self._to_store and whole is not None and whole.last_seq == block.last_seq:
            assert (whole.first_sample, list(whole.pcm)) == (self._store.first_sample, self._store.tails)
        self.carry_out(self.core.stored(block.ack_sample, block.commands))
        return True

    def _tick(self) -> bool:
        self.carry_out(self.core.tick(self._now))
        return False

    def carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append(stream, utterance, first, pcm):
                    start, end = self._audio.get((stream, utterance), (first, first))
                    assert first <= end
                    self._audio[stream, utterance] = (start, max(end, first + len(pcm) // 2))
                case Submit(job):
                    queue = self._jobs[job.stream]
                    if self._random.random() < 0.5:
                        for waiting in [waiting for waiting in queue if waiting.kind in ("interim", "early_final")]:
                            queue.remove(waiting)
                    queue.append(job)
                case OpenStream(stream):
                    self._jobs[stream] = deque()
                case Discard(stream, utterance):
                    self._audio.pop((stream, utterance), None)
                case StoreAudio():
                    self._to_store.append(effect)
                case Finished(summary):
                    self.core.outbox.put_last(summary)
                    self.done = True
                case CloseStream():
                    raise AssertionError("nobody closed it")


def run(
    client: Client,
    make_detector: DetectorFactory,
    random: Random,
    losses: list[int],
    patience: float,
    hear: Hear = heard,
) -> Store:
    """The whole session; the gateway is lost after so many messages of the client each time."""
    store = Store()
    core = SessionCore("s", client.start, make_detector)
    for life, lasts in enumerate([*losses, None]):
        gateway = Gateway(core, store, random, patience, hear)
        ready = gateway.open(resumed=life > 0)
        if core.finished and not gateway.done:
            return store  # it had said all
        for message in itertools.islice(client.messages(ready.next_sample, ready.commands, random), lasts):
            gateway.give(message)
        if lasts is not None:
            core = store.restore(client.start, make_detector)
        else:
            gateway.finish()
    return store
