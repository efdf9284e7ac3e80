"""A small deployment on this machine, for benchmarks that hurt it: gateways and Redis as processes, and a balancer."""
