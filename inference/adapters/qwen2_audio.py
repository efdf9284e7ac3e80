"""Qwen2-Audio by transformers' `qwen2_audio`: no streaming state, an instruction says what is asked.

The encoder takes a window of exactly 30 s: each job pays for all of it, however little is new, but for one that ends
where the last one did (a final after its early final). The base model is asked as it was trained, an Instruct
checkpoint (by its name) within a chat.

The model gives no times: a word has the segment's bounds.

Answers go on by a few tokens with each job, one after the other. What stands before the questions is read once for all
of them: its keys and values stay, and those of a question and its answer are cut off behind it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, Qwen2AudioForConditionalGeneration, WhisperFeatureExtractor
from transformers.masking_utils import create_bidirectional_mask

from inference.adapters.base import AdapterEngine, JobRefused, Said, Samples
from inference.adapters.loading import Checkpoint, Place, load_model
from inference.adapters.text import byte_level_splitter, read_tokenizer
from inference.adapters.writer import Draft, Prompt, Reading, Writer
from inference.pool.interface import SAMPLE_RATE, EngineInfo, EngineStartError, Job, StreamSpec
from inference.pool.tasks import Answer, Chat, Task
from inference.qwen_audio.asking import CHAT_TOKENS, CONTEXT_TOKENS, TASK_TOKENS, caption_task, chat_room, check_chat
from inference.qwen_audio.generate import Decoding, draw
from inference.qwen_audio.instructions import base_instruction, chat_instruction, supported_tasks
from inference.qwen_audio.prompts import SYSTEM
from inference.qwen_audio.results import read_labels
from inference.qwen_audio.tags import LANGUAGE_NAMES, TaskError

LANGUAGES = ("en", "zh", "de", "es", "fr", "it", "ja", "ko")
"""Those asked for by `<|en|>` and its like behind the instruction, where the tokenizer has the tag."""
STEP_TOKENS = 8
"""By which answers go on with a job."""
_STOPS = ("<|endoftext|>", "<|im_end|>")


@dataclass(slots=True)
class Qwen2AudioState:
    """The last job's audio, for one that ends at the same sample."""

    samples: int = 0
    embedded: Tensor | None = None
    asked: Asked | None = None
    """An answer that is not done."""


@dataclass(slots=True)
class Reply:
    task: Task | None
    """None: of a chat."""
    question: list[int]
    """What is read behind what all questions share."""
    most: int
    """Tokens of it."""
    choose: Callable[[Tensor], int]
    draft: Draft | None = None
    """None: it was not begun."""
    refused: str | None = None
    """Why the task cannot be asked."""

    @property
    def done(self) -> bool:
        if self.draft is None:
            return self.refused is not None
        return self.draft.ended or len(self.draft.tokens) >= self.most


@dataclass(slots=True)
class Asked:
    about: tuple[tuple[Task, ...], Chat | None, int]
    """The job's tasks or chat, and how many samples it is about."""
    keys: DynamicCache
    shared: int
    """Positions of what stands before every question."""
    replies: list[Reply] = field(default_factory=list)


class Qwen2AudioEngine(AdapterEngine[Qwen2AudioState]):
    def __init__(self, checkpoint: Checkpoint, place: Place) -> None:
        """Raises EngineStartError."""
        super().__init__()
        tokenizer = read_tokenizer(checkpoint.folder)
        self.splitter = byte_level_splitter(tokenizer)
        self.prompt = Prompt(tokenizer)
        self.tags = {code: tag for code in LANGUAGES if (tag := tokenizer.token_to_id(f"<|{code}|>")) is not None}
        self.model: Any = load_model(Qwen2AudioForConditionalGeneration, checkpoint, place)
        self.extractor: Any = WhisperFeatureExtractor.from_pretrained(checkpoint.folder)
        window = 2 * self.model.config.audio_config.max_source_positions
        if self.extractor.nb_max_frames != window:
            raise EngineStartError(
                f"The features of {checkpoint.name} have {self.extractor.nb_max_frames} frames, its encoder takes "
                f"{window}: get its preprocessor_config.json again."
            )
        self.place = place
        self.audio_begin, self.audio_end = self.prompt.special("<|audio_bos|>", "<|audio_eos|>")
        self.turn_start, self.turn_end = self.prompt.special("<|im_start|>", "<|im_end|>")
        self.chats = "instruct" in checkpoint.name.lower()
        self.head, self.tail = self._chat() if self.chats else ([], [])
        self.writer = Writer(self.model, self.splitter, self.prompt.special(*_STOPS), self.costs)
        self.limits = chat_room(self.model.config.text_config.max_position_embeddings, turns=self.chats)
        self.longest_chat = round(self.limits.audio_s * SAMPLE_RATE) if self.limits else 0
        self.info = EngineInfo(
            checkpoint.name,
            str(place.device),
            place.precision,
            max_batch=4,
            languages=tuple(self.tags) or ("en",),
            tasks=supported_tasks("qwen2_audio"),
            answers=True,
            targets=tuple(LANGUAGE_NAMES),
            chat=self.limits,
        )

    def new_state(self) -> Qwen2AudioState:
        return Qwen2AudioState()

    def heard_samples(self, state: Qwen2AudioState) -> int:
        return 0

    def answer(self, state: Qwen2AudioState, samples: Samples, job: Job, spec: StreamSpec) -> Said:
        embedded = self._heard(state, samples)
        tag = [] if spec.language not in self.tags else [self.tags[spec.language]]
        question = self._asked_about(caption_task(spec), tag)
        parts = (self.writer.embed(self._before()), embedded, self.writer.embed(question))
        keys = DynamicCache(config=self.model.config.text_config)
        reading = self.writer.read(keys, torch.cat(parts, dim=1))
        if tag:
            return self.writer.write(reading, job.prefix, len(samples), spec.language)
        reading, language = self._name_language(reading)
        return self.writer.write(reading, job.prefix, len(samples), language)

    def reply(self, state: Qwen2AudioState, samples: Samples, job: Job) -> tuple[tuple[Answer, ...], bool]:
        about = (job.tasks, job.chat, len(samples))
        if state.asked is None or state.asked.about != about:
            state.asked = None
            state.asked = self._ask(state, samples, job)
        asked = state.asked
        waiting = next((reply for reply in asked.replies if not reply.done), None)
        if waiting is not None:
            self._go_on(asked, waiting)
        answers = tuple(self._answer(reply) for reply in asked.replies)
        more = not all(reply.done for reply in asked.replies)
        if not more:
            state.asked = None
        return answers, more

    def _heard(self, state: Qwen2AudioState, samples: Samples) -> Tensor:
        """Embeddings of the utterance, shape (1, tokens, width)."""
        if state.embedded is None or state.samples != len(samples):
            state.embedded, state.samples = self._encode(samples), len(samples)
        return state.embedded

    def _before(self) -> list[int]:
        return [*self.head, self.audio_begin]

    def _asked_about(self, task: Task, tag: Sequence[int] | None = None) -> list[int]:
        """What follows the audio; `tag`: of a caption's language, empty where the model is to name it. Raises
        JobRefused."""
        try:
            said = chat_instruction(task) if self.chats else base_instruction(task)
        except TaskError as error:
            raise JobRefused("bad_job", str(error)) from error
        words = self.prompt.text(f"\n{said}" if self.chats else said if tag is None else f"{said} ")
        if len(words) > CONTEXT_TOKENS:
            raise JobRefused("bad_job", f"the question has {len(words)} tokens; at most {CONTEXT_TOKENS} can be asked")
        return [self.audio_end, *words, *(tag or ()), *self.tail]

    # -- answers ---------------------------------------------------------------------------------------------------

    def _ask(self, state: Qwen2AudioState, samples: Samples, job: Job) -> Asked:
        """Reads what all questions of a job share. Raises JobRefused."""
        if bool(job.tasks) is (job.chat is not None):
            raise JobRefused("bad_job", "an answer job has either tasks or a chat")
        if job.chat is not None:
            shared, replies = self._conversation(job.chat, samples)
        else:
            shared = torch.cat((self.writer.embed(self._before()), self._heard(state, samples)), dim=1)
            replies = [self._task_reply(task) for task in job.tasks]
        keys = DynamicCache(config=self.model.config.text_config)
        self.writer.read(keys, shared)
        return Asked((job.tasks, job.chat, len(samples)), keys, shared.shape[1], replies)

    def _task_reply(self, task: Task) -> Reply:
        try:
            return Reply(task, self._asked_about(task), TASK_TOKENS, _likeliest)
        except JobRefused as error:
            return Reply(task, [], 0, _likeliest, refused=str(error))

    def _go_on(self, asked: Asked, reply: Reply) -> None:
        if reply.draft is None:
            if (written := asked.keys.get_seq_length() - asked.shared) > 0:
                asked.keys.crop(-written)
            reading = self.writer.read(asked.keys, self.writer.embed(reply.question))
            reply.draft = Draft(reading.keys, reading.scores, reply.choose)
        self.writer.go_on(reply.draft, min(reply.most, len(reply.draft.tokens) + STEP_TOKENS))

    def _answer(self, reply: Reply) -> Answer:
        """As far as it is written: up to the last whole character while it goes on."""
        if reply.draft is None:
            return Answer("", complete=False, error=reply.refused)
        pieces = b"".join(self.splitter.piece(token) for token in reply.draft.tokens)
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(pieces, final=reply.done).strip()
        if reply.task is None or self.chats:
            return Answer(text, complete=reply.draft.ended and (reply.task is None or bool(text)))
        return read_labels(reply.task, text, ended=reply.draft.ended)

    def _conversation(self, chat: Chat, samples: Samples) -> tuple[Tensor, list[Reply]]:
        """Embeddings of a chat's turns but for the end of the last one. Raises JobRefused."""
        try:
            check_chat(chat, len(samples), self.limits, self.chats)
        except TaskError as error:
            raise JobRefused("bad_job", str(error)) from error
        written = sum(len(self.prompt.text(text)) for text in (*(turn.text for turn in chat.turns), chat.system or ""))
        if self.limits is None or written > self.limits.context_tokens:
            raise JobRefused("bad_job", f"the chat has {written} tokens of text; at most {CONTEXT_TOKENS} fit")
        embed, text = self.writer.embed, self.prompt.text
        if not self.chats:
            parts, last = [embed(self._before()), self._encode(samples)], [self.audio_end, *text(chat.turns[0].text)]
            return torch.cat(parts, dim=1), [self._chat_reply(chat, last)]
        begun, number = 0, 0
        parts, last = [], self._turn("system", SYSTEM if chat.system is None else chat.system)
        for turn in chat.turns:
            last += [self.turn_start, *text(f"{turn.role}\n")]
            for count in chat.clip_samples[number : number + turn.clips]:
                number += 1
                last += [*text(f"Audio {number}: "), self.audio_begin]
                parts += [embed(last), self._encode(samples[begun : begun + count])]
                last, begun = [self.audio_end, *text("\n")], begun + count
            last += [*text(turn.text), self.turn_end, *text("\n")]
        last += [self.turn_start, *text("assistant\n")]
        return torch.cat(parts, dim=1), [self._chat_reply(chat, last)]

    def _chat_reply(self, chat: Chat, question: list[int]) -> Reply:
        if chat.temperature == 0:
            return Reply(None, question, min(chat.max_tokens, CHAT_TOKENS), _likeliest)
        decoding = Decoding(frozenset(), temperature=chat.temperature, top_p=chat.top_p)
        random = torch.Generator().manual_seed(chat.seed % (1 << 63))
        return Reply(None, question, min(chat.max_tokens, CHAT_TOKENS), lambda scores: draw(scores, decoding, random))

    def _name_language(self, reading: Reading) -> tuple[Reading, str | None]:
        """The tag that the model would begin its text with, if it would begin with one."""
        token = int(reading.scores.argmax())
        code = next((code for code, tag in self.tags.items() if tag == token), None)
        return (reading if code is None else self.writer.read(reading.keys, self.writer.embed([token]))), code

    def _encode(self, samples: Samples) -> Tensor:
        """The window of 30 s that begins with the samples: embeddings of their part, shape (1, tokens, width)."""
        told = self.extractor(
            samples, sampling_rate=SAMPLE_RATE, padding="max_length", return_attention_mask=True, return_tensors="pt"
        )
        mel = told["input_features"].to(self.place.device, self.place.dtype)
        tower = self.model.model.audio_tower
        positions, tokens = tower._get_feat_extract_output_lengths(told["attention_mask"].sum(-1))
        heard = torch.arange(mel.shape[-1] // 2, device=self.place.device)[None] < positions.to(self.place.device)
        mask = create_bidirectional_mask(
            config=tower.config,
            inputs_embeds=torch.zeros((*heard.shape, 1), dtype=self.place.dtype, device=self.place.device),
            attention_mask=heard.long(),
        )
        self.costs.encoded_samples += mel.shape[-1] * self.extractor.hop_length
        encoded = tower(mel, attention_mask=mask).last_hidden_state
        embedded: Tensor = self.model.model.multi_modal_projector(encoded)
        return embedded[:, : int(tokens)]

    def _chat(self) -> tuple[list[int], list[int]]:
        """What stands before the audio in a chat of one turn, and behind the instruction."""
        text = self.prompt.text
        head = [*self._turn("system", SYSTEM), self.turn_start, *text("user\nAudio 1: ")]
        return head, [self.turn_end, *text("\n"), self.turn_start, *text("assistant\n")]

    def _turn(self, role: str, said: str) -> list[int]:
        text = self.prompt.text
        return [self.turn_start, *text(f"{role}\n{said}"), self.turn_end, *text("\n")]


def _likeliest(scores: Tensor) -> int:
    return int(scores.argmax())
