"""Questions about what was heard: from a conversation and recent audio to what the engine is asked. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from inference.pool.interface import SAMPLE_RATE, ChatLimits
from inference.pool.tasks import Chat, ChatTurn
from streaming.audio.clock import samples_to_ms
from streaming.protocol.messages import AnswerCode, Ask, Transcript

BYTES_PER_SAMPLE = 2
BYTES_PER_TOKEN = 3
"""Of UTF-8; running text has at least about so many, whatever its script."""
MAX_TEXT_CHARS = 32_768
"""Of all messages together."""
MAX_TRANSCRIPT_CHARS = 16_384
BEFORE = "What was said before the audio:\n"


class QuestionError(Exception):
    """A question that cannot be put to this model; the message says what would be right."""

    def __init__(self, message: str, code: AnswerCode = "unsupported") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of what was heard, mono s16le at 16 kHz."""

    pcm: bytes
    first_sample: int = 0
    label: str = ""
    """Whose it is; empty where there is one channel."""
    own: bool = False
    """The asker's own, not of the session."""

    @property
    def samples(self) -> int:
        return len(self.pcm) // BYTES_PER_SAMPLE


@dataclass(frozen=True, slots=True)
class Question:
    """What the engine is asked, and what its answer's times are counted from."""

    chat: Chat
    pcm: bytes
    """Of all clips, one after another."""
    from_ms: int = 0
    to_ms: int = 0
    words_from_ms: int | None = None
    """Where all clips begin on the session's clock; None: they begin at several times, so that words cannot be
    placed."""


class Recent:
    """The newest audio of every channel, and the finals: what questions are about. Bounded.

    Give it blocks in order. Of one that was heard already, as after a resume, only what is new counts; one behind a
    hole begins anew.
    """

    def __init__(self, seconds: float, labels: Sequence[str], channels: int) -> None:
        self._most = round(seconds * SAMPLE_RATE)
        self._labels = labels
        self._channels = channels
        self._blocks: deque[tuple[int, tuple[bytes, ...]]] = deque()
        self._finals: deque[tuple[int, str]] = deque()
        self._chars = 0
        self.until = 0
        """First sample not heard yet, 16 kHz."""

    @property
    def first(self) -> int:
        """First sample that is kept."""
        return self._blocks[0][0] if self._blocks else self.until

    def hear(self, first_sample: int, pcm: tuple[bytes, ...]) -> None:
        """A block of every channel, mono s16le at 16 kHz."""
        known = self.until - first_sample
        if known >= len(pcm[0]) // BYTES_PER_SAMPLE:
            return
        if known < 0:
            self._blocks.clear()
        if known > 0:
            first_sample, pcm = self.until, tuple(channel[known * BYTES_PER_SAMPLE :] for channel in pcm)
        self._blocks.append((first_sample, pcm))
        self.until = first_sample + len(pcm[0]) // BYTES_PER_SAMPLE
        while self._blocks and self.until - self._end_of_first() >= self._most:
            self._blocks.popleft()

    def read(self, final: Transcript) -> None:
        """A final, with the words of the whole utterance or of its end."""
        if not final.final or not final.text:
            return
        label = self._label(final.channel)
        line = f"{label}: {final.text}" if label else final.text
        at_ms = final.words[-1].end_ms if final.words else final.decoded_until_ms
        self._finals.append((at_ms, line))
        self._chars += len(line)
        while self._chars > MAX_TRANSCRIPT_CHARS:
            self._chars -= len(self._finals.popleft()[1])

    def clips(self, seconds: float | None, limits: ChatLimits) -> list[Clip]:
        """The newest `seconds`, or all that is kept and fits, as clips in the order of time. Channels that cannot have
        a clip each are mixed."""
        alone = self._channels <= limits.clips
        channels = self._channels if alone else 1
        clips_each = max(1, limits.clips // channels)
        most_s = min(limits.audio_s / channels, limits.clip_s * clips_each, 3600.0 if seconds is None else seconds)
        first = max(self.first, self.until - round(most_s * SAMPLE_RATE))
        length = self.until - first
        if length <= 0:
            return []
        pieces = -(-length // round(limits.clip_s * SAMPLE_RATE))
        bounds = [first + length * piece // pieces for piece in range(pieces + 1)]
        parts = [self._part(channel, first) for channel in range(self._channels)]
        parts = parts if alone else [_mixed(parts)]
        return [
            Clip(
                part[(begin - first) * BYTES_PER_SAMPLE : (end - first) * BYTES_PER_SAMPLE],
                begin,
                self._label(channel) if alone else "",
            )
            for begin, end in pairwise(bounds)
            for channel, part in enumerate(parts)
        ]

    def said_before(self, sample: int, most_bytes: int) -> str:
        """The transcript up to a position, of its UTF-8 the last `most_bytes`, a line for each utterance."""
        before_ms = samples_to_ms(sample)
        text = "\n".join(line for at_ms, line in self._finals if at_ms <= before_ms).encode()
        return text[max(0, len(text) - max(0, most_bytes)) :].decode(errors="ignore")

    def _part(self, channel: int, first: int) -> bytes:
        skipped = (first - self.first) * BYTES_PER_SAMPLE
        return b"".join(pcm[channel] for _, pcm in self._blocks)[skipped:]

    def _end_of_first(self) -> int:
        first, pcm = self._blocks[0]
        return first + len(pcm[0]) // BYTES_PER_SAMPLE

    def _label(self, channel: int) -> str:
        if channel < len(self._labels):
            return self._labels[channel]
        return f"channel {channel + 1}" if self._channels > 1 else ""


def make_question(ask: Ask, recent: Recent, limits: ChatLimits, own: Sequence[Clip] = ()) -> Question:
    """
    Args:
        own: clips that the asker brings, which come before what was heard.

    Raises:
        QuestionError: the model cannot be asked this, or there is nothing to be asked about.
    """
    if ask.messages[-1].role != "user":
        raise QuestionError("the last message must be the user's")
    if sum(len(message.content) for message in ask.messages) > MAX_TEXT_CHARS:
        raise QuestionError(f"the messages may have at most {MAX_TEXT_CHARS} characters together")
    if not limits.turns and (len(ask.messages) > 1 or own):
        raise QuestionError("this model answers one question about one clip: send a single message of the user")
    room = ChatLimits(
        audio_s=limits.audio_s - sum(clip.samples for clip in own) / SAMPLE_RATE,
        clip_s=limits.clip_s,
        clips=limits.clips - len(own),
    )
    if room.audio_s < 0 or room.clips < 0 or any(clip.samples > limits.clip_s * SAMPLE_RATE for clip in own):
        raise QuestionError(f"at most {limits.clips} clips of {limits.clip_s:g} s fit, {limits.audio_s:g} s together")
    heard = recent.clips(ask.last_s, room) if room.clips > 0 else []
    clips = [*own, *heard]
    if not clips:
        raise QuestionError("nothing was heard yet that could be asked about", "no_audio")
    chat = _chat(ask, clips)
    if heard and ask.last_s is None and limits.turns:
        left = limits.context_tokens * BYTES_PER_TOKEN - _text_bytes(chat) - len(BEFORE) - 2
        chat = _chat(ask, clips, recent.said_before(heard[0].first_sample, left))
    begins = {(clip.first_sample, clip.own) for clip in clips}
    return Question(
        chat,
        b"".join(clip.pcm for clip in clips),
        from_ms=samples_to_ms(heard[0].first_sample) if heard else 0,
        to_ms=samples_to_ms(recent.until) if heard else 0,
        words_from_ms=samples_to_ms(clips[0].first_sample) if len(begins) == 1 else None,
    )


def _text_bytes(chat: Chat) -> int:
    return sum(len(text.encode()) for text in (chat.system or "", *(turn.text for turn in chat.turns)))


def _chat(ask: Ask, clips: Sequence[Clip], older: str = "") -> Chat:
    """The clips and what stands for older ones come with the user's first message."""
    system = "\n".join(message.content for message in ask.messages if message.role == "system")
    turns: list[ChatTurn] = []
    for message in ask.messages:
        if message.role == "assistant":
            turns.append(ChatTurn("assistant", message.content))
        elif message.role == "user":
            first = not any(turn.role == "user" for turn in turns)
            text = _introduced(message.content, clips, older) if first else message.content
            turns.append(ChatTurn("user", text, clips=len(clips) if first else 0))
    return Chat(
        tuple(turns),
        tuple(clip.samples for clip in clips),
        system=system or None,
        max_tokens=ask.max_tokens,
        temperature=ask.temperature,
        top_p=ask.top_p,
        seed=ask.seed,
    )


def _introduced(text: str, clips: Sequence[Clip], older: str) -> str:
    parts = [BEFORE + older] if older else []
    if len(clips) > 1:
        parts.append("\n".join(_named(number, clip) for number, clip in enumerate(clips, start=1)))
    return "\n\n".join([*parts, text])


def _named(number: int, clip: Clip) -> str:
    if clip.own:
        return f"Audio {number}: given with the question."
    begin_s, end_s = clip.first_sample / SAMPLE_RATE, (clip.first_sample + clip.samples) / SAMPLE_RATE
    whose = f"{clip.label}, " if clip.label else ""
    return f"Audio {number}: {whose}{begin_s:.1f} to {end_s:.1f} s."


def _mixed(parts: Sequence[bytes]) -> bytes:
    """Channels of one length added up at half their level each, for a model that hears one clip only."""
    channels = np.stack([np.frombuffer(part, "<i2").astype(np.int32) for part in parts])
    mixed = (channels.sum(axis=0) // len(parts)).astype("<i2")
    return bytes(mixed.tobytes())
