"""`python -m benchmarks.durability`: keeps results of chaos, soak and store_cost, and writes docs/durability.md."""
