"""One stream's decode: what is asked, what comes out, and its state while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from inference.whisper.model import WhisperModel
from inference.whisper.state import UtteranceState

_RETRY_TOKENS = 8  # draft tokens tried at once after a refused one
_RETRY_REACH = 4  # how far ahead in the draft a token is looked for, and half as far back


@dataclass(frozen=True, slots=True)
class FrontierRule:
    """When an interim has said all that its audio tells, read off the cross-attention of the alignment heads.

    Speech that is cut in the middle makes Whisper go on without audio, or repeat itself. A token whose attention
    lies on the last frames is not wholly heard yet; one whose attention falls far back repeats what was said
    (AlignAtt: Papi et al., 2023, arXiv 2305.11408; SimulStreaming's use of it with Whisper: Macháček & Polák, 2025).
    """

    edge_frames: int = 4
    """A token that attends to the last so many frames waits for the next interim."""
    rewind_frames: int = 50
    """So does one that attends this much before the furthest token."""


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One stream's decode.

    `prompt` holds the special tokens, `prefix` the text tokens that are bound, `draft` those that are only likely.
    `prefix_logprobs`, where they are known from before, spare the projection of the prefix.
    """

    audio: UtteranceState
    prompt: tuple[int, ...]
    prefix: tuple[int, ...] = ()
    draft: tuple[int, ...] = ()
    prefix_logprobs: tuple[float, ...] | None = None
    temperature: float = 0.0
    seed: int = 0
    want_no_speech: bool = False
    frontier: FrontierRule | None = None
    """Where decoding stops before the end of text; None for finals, whose audio is whole."""
    no_fourth_repeat: bool = False
    """Nothing is said four times in a row: where the likeliest token would begin that, the next likely one is taken."""

    @property
    def greedy(self) -> bool:
        """Always the likeliest token."""
        return self.temperature == 0 and not self.no_fourth_repeat


@dataclass(slots=True)
class Decoded:
    """What came out: text tokens with the prefix and without the end of text, and one log probability for each."""

    tokens: list[int]
    logprobs: list[float]
    ended: bool
    """The model said the end of the text itself."""
    looped: bool
    end_logprob: float = 0.0
    no_speech: float = 0.0
    """Probability of no speech at the first position, where it was wanted."""
    held: int | None = None
    """The token that the frontier rule did not let pass: where the next interim's draft goes on."""
    attention: Tensor = field(default_factory=lambda: torch.empty(0, 0, 0))
    """Of the alignment heads on the utterance's frames, (heads, rows, frames); row i is the one that chose token i."""

    @property
    def logprob(self) -> float:
        """Of the whole text with its end."""
        return sum(self.logprobs) + self.end_logprob

    @property
    def mean_logprob(self) -> float:
        return self.logprob / (len(self.logprobs) + 1)


class Decoding:
    """One stream's decode while it runs: tokens, self-attention cache, queries for the alignment."""

    def __init__(self, request: DecodeRequest, model: WhisperModel, budget: int) -> None:
        self.request = request
        self.bound = len(request.prompt) + len(request.prefix)
        self.tokens = [*request.prompt, *request.prefix]
        self.logprobs = list(request.prefix_logprobs or ())
        # At least one token is asked for after the prefix: its pass tells when the prefix was said.
        self.limit = min(model.config.text_positions, len(request.prompt) + max(budget, len(request.prefix) + 1))
        self.ended = False
        self.looped = False
        self.end_logprob = 0.0
        self.no_speech = 0.0
        config = model.config
        capacity = min(self.limit, self.bound + len(request.draft) + 32)
        self.cache = torch.empty(
            config.decoder_layers, 2, config.heads, capacity, model.head_size, device=model.device, dtype=model.dtype
        )
        self.cached = 0
        self.stopped = False
        self.held: int | None = None
        self.furthest = 0
        self.attention: list[Tensor] = []
        self.draft = list(request.draft)
        self.cursor = 0
        self.generator = torch.Generator().manual_seed(request.seed) if request.temperature > 0 else None

    @property
    def done(self) -> bool:
        return self.ended or self.looped or self.stopped or len(self.tokens) >= self.limit

    @property
    def at_begin(self) -> bool:
        """The next token is the text's first."""
        return len(self.tokens) == len(self.request.prompt)

    def proposal(self) -> list[int]:
        """Draft tokens worth a try now: all of them at first, a few once the draft has been wrong."""
        length = len(self.draft) if len(self.tokens) == self.bound else _RETRY_TOKENS
        return self.draft[self.cursor : self.cursor + min(length, self.limit - len(self.tokens))]

    def follow(self, token: int) -> None:
        """Moves the draft's cursor past a token just taken; where it differs, to where it most likely goes on."""
        if self.cursor >= len(self.draft):
            return
        behind = max(0, self.cursor - _RETRY_REACH // 2)  # where the answer has a token that the draft lacks
        near = range(behind, min(len(self.draft), self.cursor + _RETRY_REACH))
        found = [index for index in near if self.draft[index] == token]
        self.cursor = 1 + min(found, key=lambda index: (abs(index - self.cursor), -index), default=self.cursor)

    def reserve(self, rows: int) -> None:
        needed = self.cached + rows
        have = self.cache.shape[3]
        if needed > have:
            grown = self.cache.new_empty((*self.cache.shape[:3], max(needed, 2 * have), self.cache.shape[4]))
            grown[:, :, :, : self.cached] = self.cache[:, :, :, : self.cached]
            self.cache = grown

    def forget(self, keep: int) -> None:
        """Drops the rows of draft tokens that were refused."""
        self.attention = [torch.cat(self.attention, dim=1)[:, :keep]]
        self.cached = keep

    def passes(self, frame: int) -> bool:
        """Whether a token that attends to this frame is told by the audio."""
        rule = self.request.frontier
        if rule is None:
            return True
        edge = self.request.audio.head_frames - rule.edge_frames
        if frame >= edge or frame < self.furthest - rule.rewind_frames:
            return False
        self.furthest = max(self.furthest, frame)
        return True
