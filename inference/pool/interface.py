"""What the gateway and a worker say to each other: plain records, no torch.

Positions are `int` samples at 16 kHz on the channel's sample clock; PCM is mono s16le at 16 kHz.
A *stream* is one channel of one session. An *utterance* is one segment of speech in it; the worker
keeps state for open utterances only, and that state is a cache: whatever a worker lacks it reports as
`JobError(code="missing_audio")`, and the gateway sends the segment's PCM again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from inference.pool.tasks import Answer, Chat, Task, TaskName

SAMPLE_RATE = 16_000
FRAME_SAMPLES = 320  # one encoder frame: two mel frames of 160 samples, 20 ms
BLOCK_SAMPLES = 8_000  # encoder blocks end at multiples of this on the sample clock, 0.5 s

JobKind = Literal["interim", "early_final", "final", "answer", "sounds"]
"""An early final is asked for when speech has paused and may go on: its answer is the final's if the segment ends at
its `until_sample`; the utterance's state is kept, for interims and another final if it does not. An answer job asks
what is to be known beside the words (`tasks` or `chat`); it may take several jobs, see `Hypothesis.more`. A sounds job
asks for nothing but `sounds`; its utterance may be audio in which nobody speaks."""
Captioning = Literal["transcribe", "translate", "word_timestamps"]
ErrorCode = Literal["missing_audio", "bad_job", "out_of_memory", "internal"]


class StreamSpec(msgspec.Struct, frozen=True):
    """What a stream wants from the model; constant while the stream is open."""

    language: str | None = None
    """ISO 639-1, or None: English-only models ignore it, multilingual ones detect it."""
    task: Captioning = "transcribe"
    target: str | None = None
    """ISO 639-1: the language to translate into; None: English."""
    written: bool = False
    """Numbers and dates in written form, where the model can be told."""


class SoundsWanted(msgspec.Struct, frozen=True):
    """Which blocks' scores are asked for: those that have all of their right context before `until_sample`."""

    from_sample: int
    """Where the first of them begins; earlier ones are known."""
    until_sample: int
    """The utterance's audio is there up to here, and may be beyond its job's `until_sample`."""
    rest: bool = False
    """No more audio comes: the blocks that lack right context too."""


class BlockScores(msgspec.Struct, frozen=True):
    """What is heard in one block of the sample clock's grid, or in the part of it that an utterance has."""

    first_sample: int
    until_sample: int
    scores: tuple[float, ...]
    """0 to 1, in the order of `EngineInfo.sounds`; a function of the utterance's samples alone."""


class Job(msgspec.Struct, frozen=True):
    """One decode that should run: `prefix` binds the first tokens of the answer."""

    stream: str
    utterance: int
    revision: int
    kind: JobKind
    start_sample: int
    """First sample of the segment; a multiple of FRAME_SAMPLES."""
    until_sample: int
    """The segment's audio up to here (exclusive) is decoded."""
    prefix: tuple[int, ...] = ()
    """Token ids the hypothesis must begin with: the stable words (interims), the words already sent (append_only
    finals)."""
    speech_until: int | None = None
    """Where speech ended, as the segmenter heard it; None while it goes on."""
    spec: StreamSpec | None = None
    """What this utterance wants of the model, where that is not what its stream was opened with; the same in all jobs
    of an utterance."""
    tasks: tuple[Task, ...] = ()
    """Of an answer job: what is asked about the utterance."""
    chat: Chat | None = None
    """Of an answer job, instead of `tasks`: a conversation about clips, which together are the utterance's audio."""
    sounds: SoundsWanted | None = None
    """Of any but answer jobs."""


class HypothesisWord(msgspec.Struct, frozen=True):
    text: str
    """As shown, with its punctuation and without surrounding space."""
    start_sample: int
    end_sample: int
    confidence: float
    """Mean probability of its tokens, 0 to 1."""
    tokens: tuple[int, ...]
    glued: bool = False
    """True where no space stands before it (languages without spaces, parts of one word)."""


class Sound(msgspec.Struct, frozen=True):
    """A non-speech annotation that the model wrote, such as "(laughs)", taken out of the words."""

    label: str
    start_sample: int
    end_sample: int


class Hypothesis(msgspec.Struct, frozen=True):
    stream: str
    utterance: int
    revision: int
    final: bool
    decoded_until: int
    words: tuple[HypothesisWord, ...]
    sounds: tuple[Sound, ...] = ()
    language: str | None = None
    fallback: bool = False
    """True where a guard tripped and the final was decoded again: without repeating itself, or over the full window
    with temperature fallback."""
    early: bool = False
    """The answer to an early final."""
    answers: tuple[Answer, ...] = ()
    """To an answer job: one for each task, in order, or one for the chat; as far as they are written. No words."""
    more: bool = False
    """Of an answer job: it is not done. The next answer job on the utterance, with the same tasks or chat, goes on."""
    heard: tuple[BlockScores, ...] = ()
    """What was asked for by `sounds`, oldest first."""


class JobError(msgspec.Struct, frozen=True):
    """One job failed; the others of its batch did not."""

    stream: str
    utterance: int
    revision: int
    code: ErrorCode
    message: str


class StepStats(msgspec.Struct, frozen=True):
    """What one step cost; sums over its jobs."""

    jobs: int = 0
    encoder_frames: int = 0
    """Frames put through the encoder's layers (20 ms each)."""
    encoder_frames_final: int = 0
    """The part of `encoder_frames` spent in the finals' passes."""
    decoder_calls: int = 0
    """Forward passes of the decoder, counted per stream that took part."""
    decoder_passes: int = 0
    """Forward passes of the decoder, counted once per batch."""
    seconds: float = 0.0


class StepResult(msgspec.Struct, frozen=True):
    hypotheses: tuple[Hypothesis, ...] = ()
    errors: tuple[JobError, ...] = ()
    stats: StepStats = StepStats()


class ChatLimits(msgspec.Struct, frozen=True):
    """What a chat may hold at most."""

    audio_s: float
    """Of all clips together."""
    clip_s: float = 30.0
    clips: int = 1
    turns: bool = False
    """False: one question and no more."""
    context_tokens: int = 1024
    """Text beside the audio."""


class EngineInfo(msgspec.Struct, frozen=True):
    model: str
    device: str
    dtype: str
    max_batch: int = 64
    languages: tuple[str, ...] = ("en",)
    tasks: tuple[TaskName, ...] = ("transcribe",)
    """What can be asked for: as captions, those of Captioning; by answer jobs, where `answers`, any."""
    answers: bool = False
    """It takes answer jobs."""
    targets: tuple[str, ...] = ("en",)
    """ISO 639-1: what it translates into, and what it describes in."""
    chat: ChatLimits | None = None
    """None: no conversations."""
    sounds: tuple[str, ...] = ()
    """Labels of what it hears beside words; empty: `Job.sounds` is answered by nothing."""
    sound_thresholds: dict[str, tuple[float, float]] = {}
    """By label: from which score on it is heard, and below which it is not any more; where the usual are not right."""
    sound_context_samples: int = BLOCK_SAMPLES
    """Audio after a block that its scores wait for."""


class WorkerLost(Exception):
    """The worker died or hung while it held this step; its state is gone, the step may be tried again."""


class EngineStartError(Exception):
    """No worker could be started; the message is one sentence for people, with the remedy where there is one."""


class Engine(Protocol):
    """A worker, seen from the gateway. Calls keep their order; `append`, `discard` and `close` return at once.

    One step runs at a time: call `step` again when the last one is done. `generation` grows by one each time
    the worker was restarted; all state of the older generation is gone. While no worker is up, `open`, `append`,
    `discard` and `close` do nothing and `step` raises WorkerLost.
    """

    generation: int
    failure: str | None
    """Why there will be no worker any more, in one sentence; None while there is or may be one."""

    @property
    def up(self) -> bool:
        """A worker is there and answers; False while it is being replaced."""

    @property
    def outbound_bytes(self) -> int:
        """What waits to be sent to the worker."""

    async def start(self) -> EngineInfo:
        """Raises EngineStartError."""

    async def wait_ready(self) -> None:
        """Returns when a worker is up. Raises EngineStartError once no more restarts will be tried."""

    async def wait_writable(self) -> None:
        """Returns when `outbound_bytes` is below the engine's high-water mark, or no worker is up."""

    def open(self, stream: str, spec: StreamSpec) -> None: ...

    def append(self, stream: str, utterance: int, first_sample: int, pcm: bytes) -> None:
        """Adds audio to an utterance; the first append fixes the segment's start. Audio it already has is ignored."""

    async def step(self, jobs: Sequence[Job]) -> StepResult:
        """Runs the jobs as one batch. Raises WorkerLost."""

    def discard(self, stream: str, utterance: int) -> None:
        """Frees what is kept for one utterance."""

    def close(self, stream: str) -> None: ...

    async def stop(self) -> None: ...
