"""`python -m benchmarks.gateway`: what a connected session costs in the gateway, without any model."""
