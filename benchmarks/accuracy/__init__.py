"""Accuracy and latency of streamed captions against the same weights decoded offline, over any corpus.

`python -m benchmarks.accuracy --manifest FILE.tsv --json OUT`; `docs/accuracy.md` says what each figure means.
"""
