"""`tympan models`: what `--model` accepts, and which models are at hand on this machine."""

from __future__ import annotations

import argparse
import json
from typing import Any

from streaming.cli.errors import UserError
from streaming.cli.probe import probe

FORMS = (
    ("tiny.en", "English, bundled: needs no network"),
    ("FOLDER", "a Whisper checkpoint in transformers' layout (config.json, model.safetensors, tokenizer.json)"),
    ("OWNER/NAME", "a Whisper checkpoint of the Hugging Face hub, for example openai/whisper-base; loaded once"),
)


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
    print(json.dumps({"accepted": dict(FORMS), "at_hand": models}) if args.json else listed(models))
    return 0


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
