"""The training loop: batches, loss, step; what it needs to go on is kept, and what it has learnt is exported.

The order of calls of a step: `accumulate` batches are drawn, the loss of each is divided by the labels of all of them,
gradients are clipped together, the optimiser steps at the rate of the schedule. Augmentation is drawn from a generator
of the batch's number, so that nothing of it has to be kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from inference.qwen_audio.checkpoint import load_model
from inference.qwen_audio.tokenizer import load_tokenizer
from training.qwen_audio.audio import EncoderCache
from training.qwen_audio.checkpoint import Snapshot, load_snapshot, random_states, restore_random, save_snapshot
from training.qwen_audio.config import ConfigError, TrainingConfig
from training.qwen_audio.export import export
from training.qwen_audio.freezing import encoder_is_frozen, freeze
from training.qwen_audio.hearing import Lessons, default_cache, losses_by_group
from training.qwen_audio.journal import Journal
from training.qwen_audio.lora import add_lora, base_names
from training.qwen_audio.manifest import ManifestError, read_manifest, split_of
from training.qwen_audio.sampling import BalancedSampler, Batches
from training.qwen_audio.schedule import learning_rate, make_optimiser

EXPORTED = "model"
"""Folder of the exported model, within the output."""
Done = Callable[[int, float], None]


class Trainer:
    """One run. `train` does all of it."""

    def __init__(self, config: TrainingConfig) -> None:
        """Loads the model and the manifest.

        Raises:
            ConfigError: the patterns name nothing, or the encoder is to be cached and trained.
            ManifestError: there is no manifest, or no row of it can be learnt from.
            CheckpointError, TokenizerError: the checkpoint to start from is broken.
        """
        torch.manual_seed(config.seed)
        self.config = config
        self.origin, self.output = Path(config.checkpoint), Path(config.output)
        self.model = load_model(self.origin, device=config.device)
        self.tokenizer = load_tokenizer(self.origin)
        added = add_lora(self.model, config.lora) if config.lora else []
        frozen = (*config.frozen, *base_names(self.model))
        self.trained = freeze(self.model, (*config.trainable, *added), frozen)
        self.model.train()
        self.lessons, self.exam = self._lessons()
        groups = [row.group for row in self.lessons.rows]
        sampler = BalancedSampler(groups, config.data.temperature, config.seed)
        self.batches = Batches(sampler, self.lessons.positions, config.data.positions_per_batch)
        self.optimiser = make_optimiser(self.model, config.optimiser)
        self.step = 0

    def train(self, resume: bool = False, until: int | None = None, done: Done = lambda step, loss: None) -> None:
        """Trains to the end, or to a step; then keeps a snapshot, draws the curves, and at the end exports.

        Args:
            resume: goes on from the output's snapshot.
            done: hears of each step, from 1, and its loss.

        Raises:
            ConfigError: there is no snapshot, or it is of another configuration.
        """
        if resume:
            self._restore(load_snapshot(self.output, self.config))
        for lessons in (self.lessons, self.exam):
            lessons.prepare()
        journal = Journal(self.output, self.step)
        last = self.config.optimiser.steps if until is None else until
        since, labels = time.monotonic(), 0
        while self.step < last:
            entry = self._step()
            labels += entry.pop("labels")
            done(self.step, entry["loss"])
            if self._is_due(self.config.every.log, last):
                entry["labels_per_s"] = round(labels / (time.monotonic() - since), 1)
                journal.add(entry)
                since, labels = time.monotonic(), 0
            if self.exam.rows and self._is_due(self.config.every.validate, last):
                with self._autocast():
                    measured = losses_by_group(self.model, self.exam, self.config.data.positions_per_batch)
                journal.add({"step": self.step, "validation": measured})
            if self._is_due(self.config.every.checkpoint, last):
                self.save()
        journal.draw()
        if self.step == self.config.optimiser.steps:
            chats = self.config.data.form == "chat"
            export(self.model, self.origin, self.output / EXPORTED, chats=chats)

    def save(self) -> None:
        """Keeps a snapshot in the output."""
        parameters = dict(self.model.named_parameters())
        snapshot = Snapshot(
            step=self.step,
            trained={name: parameters[name].detach() for name in self.trained},
            optimiser=self.optimiser.state_dict(),
            batches=self.batches.state(),
            random=random_states(),
        )
        save_snapshot(self.output, snapshot, self.config)

    def _step(self) -> dict[str, Any]:
        """One step of the optimiser, and what its log entry says."""
        settings = self.config.optimiser
        rate = learning_rate(self.step, settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        first = self.batches.made
        batches = [self.batches.next() for _ in range(settings.accumulate)]
        tokens = sum(self.lessons.answer_tokens(row) for batch in batches for row in batch)
        sums: dict[str, list[float]] = {}
        for number, batch in enumerate(batches, start=first):
            generator = np.random.default_rng((self.config.seed, number))
            with self._autocast():
                logits, labels, counts = self.lessons.learnt(self.model, batch, generator)
            losses = F.cross_entropy(logits.float(), labels, reduction="none")
            (losses.sum() / tokens).backward()
            for row, part in zip(batch, losses.detach().split(counts), strict=True):
                total = sums.setdefault(self.lessons.rows[row].group, [0.0, 0.0])
                total[0] += float(part.sum())
                total[1] += len(part)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        norm = torch.nn.utils.clip_grad_norm_(trained, settings.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return {
            "step": self.step,
            "loss": round(sum(loss for loss, _ in sums.values()) / tokens, 5),
            "losses": {group: round(loss / count, 5) for group, (loss, count) in sorted(sums.items())},
            "rate": rate,
            "norm": round(float(norm), 5),
            "labels": tokens,
        }

    def _lessons(self) -> tuple[Lessons, Lessons]:
        data, config = self.config.data, self.config
        rows = read_manifest(Path(data.manifest))
        cache = None
        if data.cache_encoder:
            if not encoder_is_frozen(self.trained):
                raise ConfigError("data.cache_encoder keeps the encoder's states, but layers below proj are trained")
            cache = EncoderCache(self.model.audio, default_cache(self.output))
        lessons = Lessons(split_of(rows, "train", data.groups), self.tokenizer, data, config.augment, cache)
        if not lessons.rows:
            raise ManifestError(
                f"{data.manifest} has no row to train on that fits into {data.positions_per_row} positions"
            )
        exam = Lessons(split_of(rows, "validation", data.groups), self.tokenizer, data, cache=cache)
        return lessons, exam

    def _restore(self, snapshot: Snapshot) -> None:
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, tensor in snapshot.trained.items():
                parameters[name].copy_(tensor)
        self.optimiser.load_state_dict(snapshot.optimiser)
        self.batches.restore(snapshot.batches)
        self.step = snapshot.step
        restore_random(snapshot.random)

    def _is_due(self, every: int, last: int) -> bool:
        return self.step == last or bool(every and self.step % every == 0)

    def _autocast(self) -> torch.autocast:
        enabled = self.config.optimiser.autocast == "bf16"
        return torch.autocast(torch.device(self.config.device).type, dtype=torch.bfloat16, enabled=enabled)
