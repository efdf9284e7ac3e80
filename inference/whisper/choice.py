"""What a stream says next after each of its rows: the likeliest token, or what its request asks for instead."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from inference.whisper.decoding import Decoding
from inference.whisper.guards import fourth_repeats
from inference.whisper.projection import Choices


class Choice(Protocol):
    def after(self, row: int) -> tuple[int, float]:
        """The token that follows the stream's row, and its log probability. Rows are asked for in their order."""


class Greedy:
    """The likeliest token: rows `first` and on of what was chosen for many streams."""

    def __init__(self, choices: Choices, first: int) -> None:
        self._choices = choices
        self._first = first

    def after(self, row: int) -> tuple[int, float]:
        return self._choices.tokens[self._first + row], self._choices.logprobs[self._first + row]


class Scored:
    """At a temperature, or without a fourth repetition: depends on what the stream has said by then."""

    def __init__(self, scores: Tensor, sequence: Decoding, kinds: Tensor) -> None:
        """
        Args:
            scores: (rows, tokens).
            kinds: (tokens,): what each token says (`WordSplitter.kinds`).
        """
        self._scores = scores
        self._sequence = sequence
        self._kinds = kinds

    def after(self, row: int) -> tuple[int, float]:
        scores, request = self._scores[row], self._sequence.request
        logprobs = scores.log_softmax(-1)  # the model's own, whatever is forbidden next
        if request.no_fourth_repeat:
            said = self._kinds[self._sequence.tokens[len(request.prompt) :]].tolist()
            for kind in fourth_repeats(said):
                scores[self._kinds == kind] = -torch.inf
        if request.temperature > 0:
            weights = (scores / request.temperature).softmax(-1).cpu()
            token = int(torch.multinomial(weights, 1, generator=self._sequence.generator))
        else:
            token = int(scores.argmax())
        return token, float(logprobs[token])
