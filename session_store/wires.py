"""Ways to Redis: one server (found by its address or by sentinels), or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from session_store.batch import Argument


class ServerWire:
    """One server. The pools look at a connection before they lend it: one that the server closed is made anew.

    Args:
        pool: for calls that are answered at once.
        blocking_pool: for those that are not.
    """

    def __init__(self, pool: ConnectionPool, blocking_pool: ConnectionPool) -> None:
        self._pool = pool
        self._blocking_pool = blocking_pool

    async def send(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        return await self._send(self._pool, commands)

    async def block(self, key: str, command: tuple[Argument, ...]) -> Any:
        (reply,) = await self._send(self._blocking_pool, [command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def aclose(self) -> None:
        await self._pool.aclose()
        await self._blocking_pool.aclose()

    async def _send(self, pool: ConnectionPool, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        connection = await pool.get_connection()
        whole = False
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies: list[Any] = []
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except ResponseError as error:
                    replies.append(error)
            # Whoever was the master may answer at another address now: look again.
            whole = not any(isinstance(reply, ReadOnlyError) for reply in replies)
            return replies
        finally:
            if not whole:  # a reply that is still to come must not be taken for another call's
                await connection.disconnect(nowait=True)
            await pool.release(connection)


class ClusterWire:
    """A cluster: each call goes to the server that holds its slot; those for one server go together.

    A server that was restarted while nobody looked costs one failed call, after which its address is asked for again.
    """

    def __init__(self, client: RedisCluster, blocking_client: RedisCluster) -> None:
        self._client = client
        self._blocking_client = blocking_client

    async def send(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError):
            await self._client.aclose()
            raise
        if any(isinstance(reply, RedisConnectionError | RedisTimeoutError | OSError) for reply in replies):
            await self._client.aclose()  # the next call asks anew who holds what
        return replies

    async def block(self, key: str, command: tuple[Argument, ...]) -> Any:
        return await self._blocking_client.execute_command(*command)

    async def aclose(self) -> None:
        await self._client.aclose()
        await self._blocking_client.aclose()
