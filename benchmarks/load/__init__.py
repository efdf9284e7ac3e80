"""Many live streams at once: how many of them a service carries inside a latency budget, and what happens beyond.

`python -m benchmarks.load --manifest FILE.tsv --streams N --seconds S`; docs/performance.md says what the figures mean.
"""
