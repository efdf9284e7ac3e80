"""`python -m benchmarks.peers`: the same live streams against other servers, on the same machine, one after another."""
