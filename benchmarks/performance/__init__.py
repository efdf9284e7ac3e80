"""`python -m benchmarks.performance`: keeps results of speed and capacity, and writes docs/performance.md from them."""
