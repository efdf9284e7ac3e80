"""`python -m training.events --data FOLDER --out FILE`: makes the tag head that ships with the service."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress, TaskID, track

from inference.tagging.head import TagHead
from inference.whisper.pooled import PooledBlock
from training.events.features import Ear, stacked
from training.events.fit import Blocks, fit, predict, thresholds
from training.events.scenes import BLOCK, Scene, SceneMaker, mark, telephone
from training.events.sources import ESC10, FOLDS, LABELS, Source, active, load, sources

FALSE_PER_HOUR = 10.0
SPEECH_BELOW = 0.1
"""Of the gate. The best block of speech scores above 0.9, of nearly all else below 0.1; what is doubtful keeps its
words (`python -m benchmarks.events`)."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.events", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with MANIFEST.tsv, or the one above it")
    parser.add_argument("--out", type=Path, required=True, help="the head, as safetensors")
    parser.add_argument("--cache", type=Path, help="a folder for what the encoder said, to go on with another time")
    parser.add_argument("--scenes", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    every = sources(args.data)
    blocks = cached(args.cache, f"scenes-{args.scenes}-{args.seed}", lambda: hear(every, args.scenes, args.seed))
    clips = cached(args.cache, "clips", lambda: hear_clips(every))
    with Progress() as bar:
        accuracy, held_out = cross_validate(blocks, clips, args.epochs, args.seed, bar)
        task = bar.add_task("all folds", total=args.epochs)
        whole = together(blocks, clips)
        head = fit(whole, args.epochs, args.seed, lambda: bar.advance(task))
    head.thresholds = thresholds(held_out, blocks.truth, FALSE_PER_HOUR)
    head.speech_below = SPEECH_BELOW
    command = (
        f"python -m training.events --data FOLDER --scenes {args.scenes} --epochs {args.epochs} --seed {args.seed}"
    )
    figures = {"esc10_accuracy": accuracy, "scenes": args.scenes}
    head.save(args.out, {"command": command, "encoder": "tiny.en", "figures": json.dumps(figures)})
    print(f"ESC-10, each fold by a head that never heard it: {100 * np.mean(accuracy):.2f} % {accuracy}")
    print(json.dumps({label: (each.on, each.off) for label, each in head.thresholds.items()}, indent=1))
    print(f"{args.out} has {args.out.stat().st_size / 1e6:.2f} MB")


def cached(folder: Path | None, name: str, make: Callable[[], Blocks]) -> Blocks:
    """What was made before, if the folder has it."""
    file = None if folder is None else folder / f"{name}.pt"
    if file is not None and file.is_file():
        return Blocks(**torch.load(file))
    blocks = make()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"x": blocks.x, "truth": blocks.truth, "place": blocks.place, "fold": blocks.fold}, file)
    return blocks


def hear(every: Sequence[Source], scenes: int, seed: int) -> Blocks:
    """Scenes of all folds, each as a stream's captions leave it, every third as a final's pass does."""
    ear = Ear()
    parts: list[Blocks] = []
    makers = [SceneMaker(every, fold, seed) for fold in range(1, FOLDS + 1)]
    for index in track(range(0, scenes, 8), "scenes"):
        made = [makers[(index + each) % FOLDS].make() for each in range(8)]
        hears = ear.whole if index // 8 % 3 == 2 else ear.live
        parts += [_blocks(blocks, scene) for blocks, scene in zip(hears([s.pcm for s in made]), made, strict=True)]
    return _joined(parts)


def hear_clips(every: Sequence[Source]) -> Blocks:
    """ESC-10's recordings as they are, and over a telephone."""
    ear = Ear()
    parts: list[Blocks] = []
    for source in track([each for each in every if each.role == "esc10"], "clips"):
        samples = load(source.file).astype(np.float64) * 0.5
        made = [_clip(source, samples), _clip(source, telephone(samples))]
        parts += [_blocks(blocks, scene) for blocks, scene in zip(ear.live([s.pcm for s in made]), made, strict=True)]
    return _joined(parts)


def _clip(source: Source, samples: NDArray[np.float64]) -> Scene:
    truth = np.zeros((len(samples) // BLOCK, len(LABELS)), np.float32)
    mark(truth, source, 0, active(samples.astype(np.float32)))
    return Scene((samples * 32767).astype(np.int16), truth, source.fold)


def _blocks(blocks: Sequence[PooledBlock], scene: Scene) -> Blocks:
    count = min(len(blocks), len(scene.truth))
    fold = torch.full((count,), scene.fold)
    return Blocks(stacked(blocks, count), torch.from_numpy(scene.truth[:count]), torch.arange(count), fold)


def _joined(parts: Sequence[Blocks]) -> Blocks:
    fields = ("x", "truth", "place", "fold")
    return Blocks(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))


def together(*parts: Blocks) -> Blocks:
    return _joined(parts)


def cross_validate(
    blocks: Blocks, clips: Blocks, epochs: int, seed: int, bar: Progress
) -> tuple[list[float], torch.Tensor]:
    """(share of ESC-10's clips named rightly in each fold, scores of all blocks); no head has heard the fold."""
    accuracy: list[float] = []
    scores = torch.zeros(len(blocks.x), len(LABELS))
    for fold in range(1, FOLDS + 1):
        task: TaskID = bar.add_task(f"without fold {fold}", total=epochs)
        known = together(blocks.pick(blocks.fold != fold), clips.pick(clips.fold != fold))
        head = fit(known, epochs, seed, lambda task=task: bar.advance(task))  # type: ignore[misc]
        kept_out = blocks.fold == fold
        scores[kept_out] = predict(head, blocks.pick(kept_out))
        accuracy.append(clip_accuracy(head, clips.pick(clips.fold == fold)))
    return accuracy, scores


def clip_accuracy(head: TagHead, clips: Blocks) -> float:
    """Of the clips as they are, every other one: those over a telephone are left out."""
    own = torch.tensor([LABELS.index(label) for label in ESC10.values()])
    starts = [*torch.nonzero(clips.place == 0).flatten().tolist(), len(clips.x)]
    scores = predict(head, clips)[:, own]
    right = count = 0
    for first, until in list(pairwise(starts))[::2]:
        better = scores[first:until].sort(dim=0, descending=True).values[: -(-(until - first) // 2)]
        truth = clips.truth[first:until][:, own].clamp(min=0).sum(0).argmax()
        right += int(better.mean(0).argmax() == truth)
        count += 1
    return round(right / count, 4)


if __name__ == "__main__":
    main()
