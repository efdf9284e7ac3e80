"""`tympan models`: what `--model` accepts, which models are at hand on this machine, and the families there are."""

from __future__ import annotations

import argparse
import json
from typing import Any

from inference.adapters.families import FAMILIES, Family, Published
from streaming.cli.errors import UserError
from streaming.cli.probe import probe

FORMS = (
    ("tiny.en", "English, bundled: needs no network"),
    ("FOLDER", "a Whisper checkpoint in transformers' layout (config.json, model.safetensors, tokenizer.json)"),
    ("OWNER/NAME", "a Whisper checkpoint of the Hugging Face hub, for example openai/whisper-base; loaded once"),
)

_UTTERANCE_S = 30.0
_CODE = {"own": "Tympan's own code", "transformers": "transformers' code"}
_STREAMING = {
    "incremental": "an interim encodes what is new",
    "windowed": "a window is encoded again until it is full, then never",
    "whole": "the whole utterance is encoded for each answer",
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("models", help="list what --model accepts", description=__doc__)
    parser.add_argument("--check", metavar="NAME", help="load this one and say what it is; exit code 2 if it cannot be")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Raises UserError where a model to be checked cannot be loaded."""
    if args.check is not None:
        found = probe("--model", args.check)
        if "problem" in found:
            raise UserError(found["problem"])
        print(json.dumps(found["weights"]) if args.json else checked(found["weights"]))
        return 0
    models = probe("--list")["models"]
    if args.json:
        families = [described(family) for family in FAMILIES]
        print(json.dumps({"accepted": dict(FORMS), "at_hand": models, "families": families}))
    else:
        print(f"{families_listed()}\n\n{listed(models)}")
    return 0


def described(family: Family) -> dict[str, Any]:
    """A family as JSON. Memory is of published configurations in bfloat16, a stream's after 30 s of one utterance."""
    return {
        "family": family.name,
        "model_type": family.model_type,
        "code": family.code,
        "tasks": list(family.tasks),
        "languages": family.languages,
        "streaming": family.streaming,
        "keeps": family.keeps,
        "times": family.times,
        "batch": family.batch,
        "memory": [_memory(family, published) for published in family.published],
        "verified": [{"how": e.proof, "test": e.test, "shows": e.shows} for e in family.evidence],
    }


def families_listed() -> str:
    lines = ["Families, by model_type in a checkpoint's config.json:"]
    for family in FAMILIES:
        lines += [
            f"  {family.model_type}: {family.name}, by {_CODE[family.code]}",
            f"    tasks      {', '.join(family.tasks)}; {family.languages}",
            f"    streaming  {family.streaming}: {_STREAMING[family.streaming]}",
            f"    keeps      {family.keeps}",
            f"    times      {family.times}",
        ]
        for memory in (_memory(family, published) for published in family.published):
            weights, stream = memory["weights_bytes"] / 1e9, memory["stream_bytes"] / 1e6
            lines.append(f"    memory     {memory['model']}: {weights:.2f} GB, and {stream:.1f} MB a stream")
        lines += [f"    verified   {e.proof}: {e.shows} ({e.test})" for e in family.evidence]
    lines.append("Memory is that of bfloat16; a stream's after 30 s of one utterance.")
    return "\n".join(lines)


def _memory(family: Family, published: Published) -> dict[str, Any]:
    memory = family.memory(published.config, _UTTERANCE_S)
    return {
        "model": published.name,
        "parameters": family.parameters(published.config),
        "weights_bytes": memory.weights_bytes,
        "stream_bytes": memory.stream_bytes,
    }


def checked(weights: dict[str, Any]) -> str:
    languages = f"{weights['languages']} languages" if weights["languages"] > 1 else "English only"
    millions = weights["parameters"] / 1e6
    return f"{weights['name']}: {millions:.0f} million parameters, {languages}, loaded from {weights['source']}"


def listed(models: list[dict[str, Any]]) -> str:
    lines = ["--model accepts:"]
    lines += [f"  {form:<12}{meaning}" for form, meaning in FORMS]
    lines += ["", "At hand on this machine (files found, not loaded; `tympan models --check NAME` loads one):"]
    lines += [
        f"  {model['name']}  {model['bytes'] / 1e6:.0f} MB, {model['kind']}: {model['where']}" for model in models
    ]
    return "\n".join(lines if models else [*lines, "  none"])
