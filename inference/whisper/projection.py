"""The likeliest next token of many rows at once, out of fifty thousand.

Of a small decoder the projection onto the vocabulary is the costliest part, and its weights the most memory to read.
On CPUs it is done in int8 first. That says nearly always which token is the likeliest, and how far it may be wrong is
known: the tokens that may be the likeliest are scored again in full precision, mostly a few. So the choice is the one
that full precision makes.

Scaling channels so that weights and inputs share the range: SmoothQuant (Xiao et al., 2022, arXiv 2211.10438).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.whisper.model import Norm

_CANDIDATES = 16
"""Tokens of a row that are scored again at once, before it is known whether they are enough."""
_LEVELS = 126
"""Of an input: 7 bits, since 8 overflow in the 16-bit sums of CPUs without VNNI."""
_ROUNDING = 1e-5
"""What float32 sums in another order may differ by, as a share of the two vectors' lengths, and more."""


@dataclass(frozen=True, slots=True)
class Choices:
    """For each row the likeliest token and its log probability, on the CPU."""

    tokens: list[int]
    logprobs: list[float]


class VocabularyProjection:
    """From decoder rows to tokens."""

    def __init__(
        self,
        norm: Norm,
        embedding: Tensor,
        choices: int,
        suppress: Sequence[int] = (),
        suppress_first: Sequence[int] = (),
        quantised: bool = True,
    ) -> None:
        """
        Args:
            norm: what comes before the projection.
            embedding: (vocabulary, d_model).
            choices: tokens from here on are never said.
            suppress, suppress_first: nor are these, anywhere or as the first one.
            quantised: whether int8 comes first, where there are products of int8. Not a matter of speed at the moment:
                log probabilities differ a little, and all workers must give the same.
        """
        self.rows = 0
        """Rows projected since the begin."""
        self._norm = norm
        self._embedding = embedding
        self._choices = choices
        device = embedding.device
        self._suppress = torch.tensor([t for t in suppress if t < choices], dtype=torch.long, device=device)
        self._suppress_first = torch.tensor([t for t in suppress_first if t < choices], dtype=torch.long, device=device)
        self._approximate = _Approximate.of(norm, embedding) if quantised else None

    @property
    def quantised(self) -> bool:
        return self._approximate is not None

    def scores(self, rows: Tensor, first: Sequence[int] = ()) -> Tensor:
        """(rows, d_model) → (rows, choices), float32, what is never said at -inf.

        Args:
            first: rows whose choice is the first token of a text.
        """
        self.rows += rows.shape[0]
        return self._suppressed(F.linear(self._norm(rows), self._embedding[: self._choices]).float(), first)

    def choose(self, rows: Tensor, first: Sequence[int] = ()) -> Choices:
        """The likeliest tokens as `scores` has them. Log probabilities are exact but for what unlikely tokens weigh."""
        if self._approximate is None:
            scores = self.scores(rows, first)
            best, tokens = scores.max(dim=1)
            return Choices(tokens.tolist(), (best - scores.logsumexp(dim=1)).tolist())
        self.rows += rows.shape[0]
        normed = self._norm(rows)
        scores, margin = self._approximate(normed)
        scores = self._suppressed(scores[:, : self._choices], first)
        near, tokens = scores.topk(min(_CANDIDATES, self._choices), dim=1)
        exact = (self._embedding[tokens] @ normed[:, :, None])[:, :, 0].masked_fill(near.isinf(), -torch.inf)
        best, place = exact.max(dim=1)
        chosen = tokens.gather(1, place[:, None])[:, 0]
        if near.shape[1] < self._choices:
            for row in (best < near[:, -1] + margin).nonzero()[:, 0].tolist():
                candidates = (scores[row] >= best[row] - margin[row]).nonzero()[:, 0]
                found = self._embedding[candidates] @ normed[row]
                scores[row, candidates] = found
                best[row], chosen[row] = found.max(), candidates[found.argmax()]
        logprobs = best - scores.scatter_(1, tokens, exact).logsumexp(dim=1)
        return Choices(chosen.tolist(), logprobs.tolist())

    def probability(self, rows: Tensor, token: int) -> list[float]:
        """Of one token among the whole vocabulary, in each row."""
        normed = self._norm(rows)
        if self._approximate is None:
            whole = F.linear(normed, self._embedding).float()
            return [float(each) for each in whole.softmax(dim=1)[:, token]]
        scores, _ = self._approximate(normed)
        scores[:, token] = normed @ self._embedding[token]
        likely = (scores[:, token] - scores.logsumexp(dim=1)).exp()
        return [float(each) for each in likely]

    def _suppressed(self, scores: Tensor, first: Sequence[int]) -> Tensor:
        scores[:, self._suppress] = -torch.inf
        if first and len(self._suppress_first):
            at = torch.tensor(first, device=scores.device)
            scores[at[:, None], self._suppress_first] = -torch.inf
        return scores


class _Approximate:
    """The projection in int8, and how far each row may be off. A row's scores do not depend on the other rows."""

    def __init__(self, norm: Norm, embedding: Tensor) -> None:
        reach = 3 * norm.weight.abs() + norm.bias.abs()  # of each channel after the norm
        balance = (reach / embedding.abs().amax(dim=0).clamp(min=1e-8)).clamp(min=1e-8).sqrt()
        self._unscale = balance.mean() / balance
        weight = embedding / self._unscale
        steps = weight.abs().amax(dim=1).clamp(min=1e-8) / 127
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # these types will go from torch, which is pinned
            zeros = torch.zeros(len(steps), dtype=torch.long)
            quantised = torch.quantize_per_channel(weight, steps, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantised, None)
        known = quantised.dequantize()
        self._weight_norm = float(known.norm(dim=1).max())
        self._weight_error = float((known - weight).norm(dim=1).max())

    @staticmethod
    def of(norm: Norm, embedding: Tensor) -> _Approximate | None:
        """None where weights are not float32 on a CPU that torch has int8 products for."""
        known = {"x86", "fbgemm", "onednn"} & {torch.backends.quantized.engine}
        if embedding.device.type != "cpu" or embedding.dtype != torch.float32 or not known:
            return None
        try:
            return _Approximate(norm, embedding)
        except (RuntimeError, AttributeError):  # a processor or a torch without them
            return None

    def __call__(self, normed: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, d_model) → scores (rows, vocabulary), and (rows,): no score is off by more (Cauchy-Schwarz)."""
        x = normed * self._unscale
        size = x.abs().amax(dim=1, keepdim=True).clamp(min=1e-8)
        unit, step, zero = x / size, 2 / _LEVELS, _LEVELS // 2
        scores = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(unit, step, zero, self._packed)
        known = torch.quantize_per_tensor(unit, step, zero, torch.quint8).dequantize()
        input_error = ((known - unit) * size).norm(dim=1)
        margin = input_error * self._weight_norm + x.norm(dim=1) * (self._weight_error + _ROUNDING * self._weight_norm)
        return scores.mul_(size), margin
