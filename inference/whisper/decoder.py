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

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.whisper.alignment import median_filter
from inference.whisper.decoding import Decoded, DecodeRequest, Decoding
from inference.whisper.guards import TokenBudget, fourth_repeats, loop_start
from inference.whisper.model import WhisperModel
from inference.whisper.state import SilenceTail, UtteranceState, attend, context
from inference.whisper.weights import Vocabulary


@dataclass(slots=True)
class DecoderCounters:
    calls: int = 0
    """Forward passes, once per stream that took part."""
    passes: int = 0
    """Forward passes, once per batch."""
    rows: int = 0
    projected: int = 0


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
    ) -> None:
        """
        Args:
            suppress: text tokens that are never decoded, beside the special ones.
            kinds: of each text token what it says (`WordSplitter.kinds`), for `no_fourth_repeat`; by default each
                token is a kind of its own.
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
        self._output = model.embedding[: self._choices]
        self._suppress = torch.tensor([t for t in suppress if t < self._choices], dtype=torch.long, device=model.device)
        self._kinds = [*(kinds or range(vocabulary.end_of_text)), -1]
        self._kinds_on_device = torch.tensor(self._kinds, device=model.device)
        first = sorted({*vocabulary.suppress_first} - {vocabulary.end_of_text})
        self._suppress_first = torch.tensor([t for t in first if t < self._choices], dtype=torch.long)

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
        rows = [self._rows_that_count(*each) for each in zip(sequences, starts, hidden, strict=True)]
        scores = self._project(torch.cat(rows)).split([len(row) for row in rows])
        for sequence, proposal, row in zip(sequences, proposals, scores, strict=True):
            attended = _attended(sequence, len(row)) if sequence.request.frontier else [0] * len(row)
            self._accept(sequence, proposal, row, attended)

    def _rows_that_count(self, sequence: Decoding, start: int, hidden: Tensor) -> Tensor:
        """Of the rows just run, those whose choice is still open; in the first pass the prefix is looked after too."""
        request = sequence.request
        prompt = len(request.prompt)
        if start == 0:
            if request.want_no_speech and self.vocabulary.no_speech is not None:
                at = request.prompt.index(self.vocabulary.start_of_transcript)
                sequence.no_speech = float(self.model.logits(hidden[at]).softmax(-1)[self.vocabulary.no_speech])
            if request.prefix and len(sequence.logprobs) != len(request.prefix):
                past = self._project(hidden[prompt - 1 : sequence.bound - 1]).log_softmax(-1)
                picked = torch.tensor(request.prefix, device=past.device)[:, None]
                sequence.logprobs = past.gather(1, picked)[:, 0].tolist()
        return hidden[len(sequence.tokens) - 1 - start :]

    def _accept(self, sequence: Decoding, proposal: Sequence[int], scores: Tensor, attended: Sequence[int]) -> None:
        """Takes proposed tokens while they are the model's own choice; the first other choice replaces the rest."""
        for index, row in enumerate(scores):
            self._take(sequence, row, attended[index])
            if sequence.done:
                break
            sequence.follow(sequence.tokens[-1])
            if index >= len(proposal) or sequence.tokens[-1] != proposal[index]:
                break
        # Rows up to the one before the last token are of accepted tokens; where no token was taken last, all are.
        whole = sequence.ended or sequence.stopped
        sequence.forget(min(sequence.cached, len(sequence.tokens) - (0 if whole else 1)))

    def _take(self, sequence: Decoding, scores: Tensor, frame: int) -> None:
        """Appends the most likely token, or a sampled one at a temperature; notes the end, loops and the frontier."""
        if len(sequence.tokens) == len(sequence.request.prompt):
            scores[self._suppress_first] = -torch.inf
        logprobs = scores.log_softmax(-1)  # the model's own, whatever is forbidden next
        if sequence.request.no_fourth_repeat:
            said = [self._kinds[token] for token in sequence.tokens[len(sequence.request.prompt) :]]
            for kind in fourth_repeats(said):
                scores[self._kinds_on_device == kind] = -torch.inf
        temperature = sequence.request.temperature
        if temperature > 0:
            weights = (scores / temperature).softmax(-1).cpu()
            token = int(torch.multinomial(weights, 1, generator=sequence.generator))
        else:
            token = int(scores.argmax())
        if token == self.vocabulary.end_of_text:
            sequence.ended = True
            sequence.end_logprob = float(logprobs[token])
            return
        if not sequence.passes(frame):
            sequence.stopped, sequence.held = True, token
            return
        sequence.tokens.append(token)
        sequence.logprobs.append(float(logprobs[token]))
        sequence.looped = loop_start(sequence.tokens[len(sequence.request.prompt) :]) is not None

    def _project(self, rows: Tensor) -> Tensor:
        self.counters.projected += rows.shape[0]
        scores = F.linear(self.model.decoder_norm(rows), self._output).float()
        scores[:, self._suppress] = -torch.inf
        return scores

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
        queries = self.model.split_heads(rows)
        audio = sequence.request.audio
        keys, values, bias = context(audio.cross_attention, layer, audio, self.tail, self.tail.decoder[layer])
        self._note_attention(layer, sequence, queries, keys, bias)
        return attend(queries, keys, values, bias)

    def _room_for_attention(self, sequence: Decoding, rows: int) -> Tensor:
        heads = sum(map(len, self._alignment_heads.values()))
        return torch.empty(heads, rows, sequence.request.audio.head_frames, device=self.model.device)

    def _note_attention(
        self, layer: int, sequence: Decoding, queries: Tensor, keys: Tensor, bias: Tensor | None
    ) -> None:
        """Probabilities of this layer's alignment heads on the utterance's own frames, for the rows just run."""
        heads = self._alignment_heads.get(layer)
        if not heads:
            return
        scores = queries[heads] @ keys[heads].mT
        if bias is not None:
            scores = scores + bias
        first = sum(len(held) for other, held in self._alignment_heads.items() if other < layer)
        chosen = scores.float().softmax(dim=2)[:, :, : sequence.request.audio.head_frames]
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
