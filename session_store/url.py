"""Where a Redis is, and how one comes in. The address may hold a password: no message and no repr here shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

Shape = Literal["server", "sentinel", "cluster"]

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379
FORMS = (
    "redis://[[user]:password@]host[:port][/db], redis+sentinel://[[user]:password@]host[:port],host[:port]/service[/db]"
    " or redis+cluster://[[user]:password@]host[:port],...; rediss for TLS"
)

_SCHEME = re.compile(r"(?P<tls>rediss?)(\+(?P<shape>sentinel|cluster))?://(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:/?#@\[\]]+))(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class RedisUrl:
    shape: Shape
    hosts: tuple[tuple[str, int], ...]
    """Of the server; of sentinels; or of some of the cluster's servers."""
    tls: bool = False
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    service: str = ""
    """What the sentinels call the server."""
    db: int = 0


def parse_url(url: str) -> RedisUrl:
    """Raises ValueError, which says what is wrong but not what stood there."""
    matched = _SCHEME.fullmatch(url)
    if matched is None:
        raise ValueError(f"a Redis URL reads {FORMS}")
    shape: Shape = matched["shape"] or "server"  # type: ignore[assignment]
    rest = matched["rest"]
    if "?" in rest or "#" in rest:
        raise ValueError("a Redis URL has no query and no fragment here; in a password write %3F for ? and %23 for #")
    location, _, path = rest.rpartition("@")[2].partition("/")
    user, password = _credentials(rest.rpartition("@")[0])
    hosts = tuple(_host(text, shape) for text in location.split(","))
    if shape == "server" and len(hosts) > 1:
        raise ValueError("a Redis URL with several hosts begins with redis+sentinel:// or redis+cluster://")
    service, db = _path(shape, path)
    return RedisUrl(shape, hosts, matched["tls"] == "rediss", user, password, service, db)


def _credentials(text: str) -> tuple[str | None, str | None]:
    user, colon, password = text.partition(":")
    if "/" in text:
        raise ValueError("in the user and the password of a Redis URL write %2F for /")
    return unquote(user) or None, unquote(password) if colon else None


def _host(text: str, shape: Shape) -> tuple[str, int]:
    matched = _HOST.fullmatch(text)
    if matched is None or not 0 < int(matched["port"] or 1) < 65_536:
        raise ValueError("a Redis URL names its host as host, host:port or [IPv6]:port, the port from 1 to 65535")
    default = DEFAULT_SENTINEL_PORT if shape == "sentinel" else DEFAULT_PORT
    return matched["v6"] or matched["name"], int(matched["port"] or default)


def _path(shape: Shape, path: str) -> tuple[str, int]:
    """The service and the database."""
    service = ""
    if shape == "sentinel":
        service, _, path = path.partition("/")
        service = unquote(service)
        if not service:
            raise ValueError("the URL of sentinels ends in /service, which is the name they know the server by")
    if path and not (path.isascii() and path.isdigit()):
        raise ValueError("a Redis URL ends in its database's number, as /0")
    db = int(path or 0)
    if shape == "cluster" and db:
        raise ValueError("a Redis cluster has database 0 only")
    return service, db
