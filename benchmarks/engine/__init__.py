"""`python -m benchmarks.engine`: what a second of audio costs in the engine alone, part by part."""
