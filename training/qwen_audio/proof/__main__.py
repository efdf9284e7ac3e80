"""`python -m training.qwen_audio.proof --data FOLDER`: trains, measures, keeps the result, writes the page.

    python -m training.qwen_audio.proof --data FOLDER [--work FOLDER] [--steps 1100] [--seeds 0]
    python -m training.qwen_audio.proof          # write docs/training-qwen-audio.md from the kept result

FOLDER has MANIFEST.tsv, as `training.qwen_audio.corpus` reads it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.qwen_audio.__main__ import ERRORS
from training.qwen_audio.proof.page import NAME, PAGE

STEPS = 1100


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 2 where the proof cannot be made, with the reason on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m training.qwen_audio.proof", description="The proof at small scale."
    )
    parser.add_argument("--data", type=Path, help="folder with MANIFEST.tsv; without it the page is written only")
    parser.add_argument("--work", type=Path, default=Path("out") / "qwen-audio-proof", help="for models and caches")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="two runs each: with and without tags")
    parser.add_argument("--threads", type=int, help="default: one a core")
    options = parser.parse_args(arguments)
    if options.data is not None:
        from training.qwen_audio.proof.run import prove, set_threads  # torch takes its time

        set_threads(options.threads)
        try:
            PAGE.keep(NAME, prove(options.data, options.work, options.steps, options.seeds))
        except ERRORS as error:
            print(error, file=sys.stderr)
            return 2
    PAGE.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
