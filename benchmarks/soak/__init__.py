"""Half an hour of clients that come and go: does anything grow that should not?

`python -m benchmarks.soak --minutes M --streams N`; docs/durability.md says what the figures mean.
"""
