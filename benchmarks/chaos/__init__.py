"""Faults in a deployment that many clients speak to: what is lost, what is said twice, and how long it takes to go on.

`python -m benchmarks.chaos --minutes M --streams N`; docs/durability.md says what the figures mean.
"""
