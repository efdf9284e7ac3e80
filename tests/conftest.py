"""Fixtures for tests of every room."""

from tests.support.redis_server import own_redis_server, redis_server, shared_redis_cluster, shared_redis_server

__all__ = ["own_redis_server", "redis_server", "shared_redis_cluster", "shared_redis_server"]
