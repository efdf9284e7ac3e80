"""Greedy decoding of many streams at once, where a draft is verified instead of decoded again.

An interim's text is almost the last interim's plus a word. So the last hypothesis is run through the decoder as a
draft, in ONE forward pass for all of its tokens; it is kept up to the first token that is not the most likely one,
and decoding goes on from there. The answer is exactly what greedy decoding gives (speculative decoding with the
model as its own verifier: Leviathan et al., 2022, arXiv 2211.17192, in the greedy case).

Rows of several streams share each linear layer without padding; attention is done per stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.whisper.alignment import median_filter
from inference.whisper.choice import Choice, Greedy, Scored
from inference.whisper.decoding import Decoded, DecodeRequest, Decoding
from inference.whisper.guards import TokenBudget, loop_start
from inference.whisper.model import WhisperModel
from inference.whisper.projection import VocabularyProjection
from inference.whisper.state import SilenceTail, UtteranceState, context_pieces
from inference.whisper.weights import Vocabulary


@dataclass(slots=True)
class DecoderCounters:
    calls: int = 0
    """Forward passes, once per stream that took part."""
    passes: int = 0
    """Forward passes, once per batch."""
    rows: int = 0


class WhisperDecoder:
    """Draft-verified decoding in ragged batches."""

    def __init__(
        self,
        model: WhisperModel,
        vocabulary: Vocabulary,
        tail: SilenceTail,
        alignment_heads: Sequence[tuple[int, int]] = (),
        budget: TokenBudget | None = None,
        suppress: Sequence[int] = (),
        kinds: Sequence[int] = (),
        quantised: bool = True,
    ) -> None:
        """
        Args:
            suppress: text tokens that are never decoded, beside the special ones.
            kinds: of each text token what it says (`WordSplitter.kinds`), for `no_fourth_repeat`; by default each
                token is a kind of its own.
            quantised: how the vocabulary is projected (`VocabularyProjection`).
        """
        self.model = model
        self.vocabulary = vocabulary
        self.tail = tail
        self.budget = budget or TokenBudget()
        self.counters = DecoderCounters()
        self._alignment_heads: dict[int, list[int]] = {}
        for layer, head in sorted(alignment_heads):
            self._alignment_heads.setdefault(layer, []).append(head)
        # Text tokens and the end of text come first in every Whisper vocabulary: the rest is never projected.
        self._choices = vocabulary.end_of_text + 1
        self._kinds = torch.tensor([*(kinds or range(vocabulary.end_of_text)), -1], device=model.device)
        self.projection = VocabularyProjection(
            model.decoder_norm,
            model.embedding,
            self._choices,
            suppress,
            sorted({*vocabulary.suppress_first} - {vocabulary.end_of_text}),
            quantised,
        )

    @torch.inference_mode()
    def decode(self, requests: Sequence[DecodeRequest]) -> list[Decoded]:
        """Decodes all requests in one batch, each to its end of text, its token budget or a repetition loop."""
        sequences = [
            Decoding(request, self.model, self.budget.tokens(request.audio.head_frames)) for request in requests
        ]
        while active := [sequence for sequence in sequences if not sequence.done]:
            self._step(active)
        return [self._result(sequence) for sequence in sequences]

    @torch.inference_mode()
    def first_token_scores(self, audios: Sequence[UtteranceState], tokens: Sequence[int]) -> Tensor:
        """Log probabilities of `tokens` right after the start of the transcript, (streams, len(tokens))."""
        start = self.vocabulary.start_of_transcript
        sequences = [Decoding(DecodeRequest(audio, (start,)), self.model, 1) for audio in audios]
        rows = self._forward(sequences, [[start]] * len(sequences))
        return self.model.logits(rows)[:, list(tokens)].log_softmax(dim=-1)

    def _step(self, sequences: Sequence[Decoding]) -> None:
        """One pass over what each stream has not run yet and its draft; keeps what greedy decoding would have said."""
        proposals = [sequence.proposal() for sequence in sequences]
        inputs = [
            [*sequence.tokens[sequence.cached :], *proposal]
            for sequence, proposal in zip(sequences, proposals, strict=True)
        ]
        starts = [sequence.cached for sequence in sequences]
        hidden = self._forward(sequences, inputs).split([len(tokens) for tokens in inputs])
        for sequence, start, rows in zip(sequences, starts, hidden, strict=True):
            if start == 0:
                self._look_at_prompt(sequence, rows)
        # Of the rows just run, those whose choice is still open.
        open_rows = [
            rows[len(sequence.tokens) - 1 - start :]
            for sequence, start, rows in zip(sequences, starts, hidden, strict=True)
        ]
        for sequence, proposal, rows, choice in zip(
            sequences, proposals, open_rows, self._choose(sequences, open_rows), strict=True
        ):
            attended = _attended(sequence, len(rows)) if sequence.request.frontier else [0] * len(rows)
            self._accept(sequence, proposal, choice, attended)

    def _look_at_prompt(self, sequence: Decoding, hidden: Tensor) -> None:
        """In the first pass: how likely silence is, and the prefix's tokens where that is not known."""
        request = sequence.request
        if request.want_no_speech and self.vocabulary.no_speech is not None:
            at = request.prompt.index(self.vocabulary.start_of_transcript)
            (sequence.no_speech,) = self.projection.probability(hidden[at : at + 1], self.vocabulary.no_speech)
        if request.prefix and len(sequence.logprobs) != len(request.prefix):
            past = self.projection.scores(hidden[len(request.prompt) - 1 : sequence.bound - 1]).log_softmax(-1)
            picked = torch.tensor(request.prefix, device=past.device)[:, None]
            sequence.logprobs = past.gather(1, picked)[:, 0].tolist()

    def _choose(self, sequences: Sequence[Decoding], rows: Sequence[Tensor]) -> list[Choice]:
        """For each stream what it says after each of its rows: all greedy ones at once."""
        greedy = [at for at, sequence in enumerate(sequences) if sequence.request.greedy]
        chosen: dict[int, Choice] = {}
        if greedy:
            ends = [*accumulate((len(rows[at]) for at in greedy), initial=0)]
            first = [end for at, end in zip(greedy, ends, strict=False) if sequences[at].at_begin]
            choices = self.projection.choose(torch.cat([rows[at] for at in greedy]), first)
            for at, end in zip(greedy, ends, strict=False):
                chosen[at] = Greedy(choices, end)
        for at in {*range(len(sequences))} - {*greedy}:
            first = [0] if sequences[at].at_begin else []
            chosen[at] = Scored(self.projection.scores(rows[at], first), sequences[at], self._kinds)
        return [chosen[at] for at in range(len(sequences))]

    def _accept(self, sequence: Decoding, proposal: Sequence[int], choice: Choice, attended: Sequence[int]) -> None:
        """Takes proposed tokens while they are the model's own choice; the first other choice replaces the rest."""
        for index, frame in enumerate(attended):
            self._take(sequence, *choice.after(index), frame)
            if sequence.done:
                break
            sequence.follow(sequence.tokens[-1])
            if index >= len(proposal) or sequence.tokens[-1] != proposal[index]:
                break
        # Rows up to the one before the last token are of accepted tokens; where no token was taken last, all are.
        whole = sequence.ended or sequence.stopped
        sequence.forget(min(sequence.cached, len(sequence.tokens) - (0 if whole else 1)))

    def _take(self, sequence: Decoding, token: int, logprob: float, frame: int) -> None:
        """Appends a token; notes the end, loops and the frontier."""
        if token == self.vocabulary.end_of_text:
            sequence.ended = True
            sequence.end_logprob = logprob
            return
        if not sequence.passes(frame):
            sequence.stopped, sequence.held = True, token
            return
        sequence.tokens.append(token)
        sequence.logprobs.append(logprob)
        sequence.looped = loop_start(sequence.tokens[len(sequence.request.prompt) :]) is not None

    def _forward(self, sequences: Sequence[Decoding], inputs: Sequence[Sequence[int]]) -> Tensor:
        """Runs new tokens of each stream through all layers; returns their rows (sum of lengths, d_model)."""
        lengths = [len(tokens) for tokens in inputs]
        self.counters.calls += len(sequences)
        self.counters.passes += 1
        self.counters.rows += sum(lengths)
        flat = torch.tensor([token for tokens in inputs for token in tokens], device=self.model.device)
        places = torch.tensor(
            [sequence.cached + offset for sequence, n in zip(sequences, lengths, strict=True) for offset in range(n)],
            device=self.model.device,
        )
        x = self.model.embedding[flat] + self.model.text_positions[places]
        for sequence, length in zip(sequences, lengths, strict=True):
            sequence.reserve(length)
        for sequence, length in zip(sequences, lengths, strict=True):
            sequence.attention.append(self._room_for_attention(sequence, length))
        for index, layer in enumerate(self.model.decoder_layers):
            pieces = layer.qkv(layer.attention_norm(x)).split(lengths)
            x = x + layer.out(
                torch.cat([self._self_attend(index, s, p) for s, p in zip(sequences, pieces, strict=True)])
            )
            pieces = layer.cross_q(layer.cross_norm(x)).split(lengths)
            x = x + layer.cross_out(
                torch.cat([self._cross_attend(index, s, p) for s, p in zip(sequences, pieces, strict=True)])
            )
            x = x + layer.ffn(x)
        for sequence, length in zip(sequences, lengths, strict=True):
            sequence.cached += length
        return x

    def _self_attend(self, layer: int, sequence: Decoding, qkv: Tensor) -> Tensor:
        queries, keys, values = (self.model.split_heads(part) for part in qkv.chunk(3, dim=1))
        rows, before = qkv.shape[0], sequence.cached
        sequence.cache[layer, 0, :, before : before + rows] = keys
        sequence.cache[layer, 1, :, before : before + rows] = values
        answer = F.scaled_dot_product_attention(
            queries[None],
            sequence.cache[layer, 0, :, : before + rows][None],
            sequence.cache[layer, 1, :, : before + rows][None],
            is_causal=rows > 1 and before == 0,
            attn_mask=_causal(rows, before, queries) if rows > 1 and before > 0 else None,
            scale=1.0,
        )
        return answer[0].transpose(0, 1).reshape(rows, -1)

    def _cross_attend(self, layer: int, sequence: Decoding, rows: Tensor) -> Tensor:
        """Attention to the audio, step by step: the alignment heads' probabilities are noted on the way."""
        audio = sequence.request.audio
        pieces = context_pieces(audio.cross_attention, layer, audio, self.tail, self.tail.decoder[layer])
        queries = self.model.split_heads(rows)
        scores = [queries @ keys.mT if bias is None else queries @ keys.mT + bias for keys, _, bias in pieces]
        likely = (torch.cat(scores, dim=2) if len(scores) > 1 else scores[0]).float().softmax(dim=2)
        self._note_attention(layer, sequence, likely)
        shares = likely.to(rows.dtype).split([keys.shape[1] for keys, _, _ in pieces], dim=2)
        answer: Tensor = shares[0] @ pieces[0][1]
        for share, (_, values, _) in zip(shares[1:], pieces[1:], strict=True):
            answer += share @ values
        return answer.transpose(0, 1).reshape(rows.shape[0], -1)

    def _room_for_attention(self, sequence: Decoding, rows: int) -> Tensor:
        heads = sum(map(len, self._alignment_heads.values()))
        return torch.empty(heads, rows, sequence.request.audio.head_frames, device=self.model.device)

    def _note_attention(self, layer: int, sequence: Decoding, likely: Tensor) -> None:
        """Keeps what this layer's alignment heads look at of the utterance's own frames, for the rows just run."""
        heads = self._alignment_heads.get(layer)
        if not heads:
            return
        first = sum(len(held) for other, held in self._alignment_heads.items() if other < layer)
        chosen = likely[heads, :, : sequence.request.audio.head_frames]
        sequence.attention[-1][first : first + len(heads)] = chosen

    def _result(self, sequence: Decoding) -> Decoded:
        prompt = len(sequence.request.prompt)
        return Decoded(
            tokens=sequence.tokens[prompt:],
            logprobs=sequence.logprobs,
            ended=sequence.ended,
            looped=sequence.looped,
            end_logprob=sequence.end_logprob,
            no_speech=sequence.no_speech,
            held=sequence.held,
            attention=torch.cat(sequence.attention, dim=1)[:, prompt - 1 :],
        )


def _attended(sequence: Decoding, rows: int) -> list[int]:
    """The frame that each of the last rows attends to most, over the alignment heads together."""
    attention = sequence.attention[-1][:, -rows:]
    if attention.shape[0] == 0 or attention.shape[2] == 0:
        return [0] * rows
    frames: list[int] = median_filter(attention).mean(dim=0).argmax(dim=1).tolist()
    return frames


def _causal(rows: int, before: int, like: Tensor) -> Tensor:
    """Additive mask (rows, before + rows): row i sees what was before and new rows up to itself."""
    ones = torch.ones(rows, before + rows, dtype=torch.bool, device=like.device)
    return torch.zeros(rows, before + rows, device=like.device, dtype=like.dtype).masked_fill(
        ones.triu(before + 1), -torch.inf
    )
