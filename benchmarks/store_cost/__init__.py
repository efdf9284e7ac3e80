"""What it costs that sessions are kept in a Redis: the same load with it and with the memory store, in turns.

`python -m benchmarks.store_cost`; docs/durability.md says what the figures mean.
"""
