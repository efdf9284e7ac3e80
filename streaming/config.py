"""The settings tree: defaults, then a TOML file, then `TYMPAN_*` in the environment, then flags. Loads nothing.

A key is `section.name`: `[server] port = 8765` in the file, `TYMPAN_SERVER_PORT=8765` in the environment.
"""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from session_store.url import parse_url
from streaming.protocol.credentials import Keyring
from streaming.protocol.native import IDLE_TIMEOUT_S, MAX_MESSAGE_BYTES, START_TIMEOUT_S
from streaming.session.settings import SessionSettings

StoreName = Literal["memory", "redis"]
LogLevel = Literal["debug", "info", "warning", "error"]
ENV_PREFIX = "TYMPAN_"


class ConfigError(ValueError):
    """A setting that cannot be used. The message names the key, where it came from, and what would be right."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    host: str = "127.0.0.1"
    port: int = 8765
    """0 picks a free one."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages, beside the server's own, that may open a WebSocket, as "https://example.org"; "*": all."""
    max_sessions: int = 256
    max_viewers: int = 1000
    """Connections that watch sessions."""
    max_watched: int = 64
    """Sessions that are watched at once; each has one reader of the store."""
    refuse_after_s: float = 0.75
    """New sessions are refused while more than a fifth of the jobs wait longer than this for a worker."""
    max_message_bytes: int = MAX_MESSAGE_BYTES
    start_timeout_s: float = START_TIMEOUT_S
    idle_timeout_s: float = IDLE_TIMEOUT_S
    send_timeout_s: float = 20.0
    """A client that takes no byte for so long is disconnected."""
    drain_timeout_s: float = 10.0
    """After Ctrl-C or SIGTERM: how long sessions may go on before they are ended."""
    log_level: LogLevel = "info"

    def __post_init__(self) -> None:
        _within(self, "port", 0, 65_535)
        _within(self, "max_sessions", 1, 100_000)
        _within(self, "max_viewers", 0, 1_000_000)
        _within(self, "max_watched", 0, 100_000)
        _within(self, "refuse_after_s", 0.05, 600)
        _within(self, "max_message_bytes", 1024, 16 << 20)
        _within(self, "start_timeout_s", 0.1, 600)
        _within(self, "idle_timeout_s", 1, 86_400)
        _within(self, "send_timeout_s", 0.1, 600)
        _within(self, "drain_timeout_s", 0, 3600)


@dataclass(frozen=True, slots=True)
class AuthSettings:
    keys: tuple[str, ...] = field(default=(), repr=False)
    """API keys, or `sha256:` and the hash of one in hex. Where there are keys, every client must show one."""
    keys_file: str = ""
    """More of them, one in a line; what follows a blank or a `#` is a comment."""
    open: bool = False
    """Without keys, other machines may connect all the same: somebody else looks at who they are."""

    def __post_init__(self) -> None:
        Keyring(self.keys)


@dataclass(frozen=True, slots=True)
class MediaSettings:
    max_decoders: int = 16
    """Processes that decode containers, uploaded files and other sample rates, one for each stream."""
    max_upload_bytes: int = 100 << 20
    """Of an uploaded file."""
    max_upload_s: float = 14_400.0
    """Of sound in an uploaded file."""
    max_decode_s: int = 120
    """Processor time that decoding an uploaded file may take."""
    upload_timeout_s: float = 600.0
    """Within this long an upload has come in."""

    def __post_init__(self) -> None:
        _within(self, "max_decoders", 0, 10_000)
        _within(self, "max_upload_bytes", 1024, 4 << 30)
        _within(self, "max_upload_s", 1, 360_000)
        _within(self, "max_decode_s", 1, 36_000)
        _within(self, "upload_timeout_s", 1, 86_400)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    model: str = "tiny.en"
    """`tympan models` lists what it may be."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    precision: str = "auto"
    """float32, bfloat16 or int8. auto: the fastest that the device has units for, measured at the start."""
    tagger: str = "builtin"
    """What hears more than words, for Whisper models: builtin, off, or hub: and the name or folder of an audio
    classifier of transformers."""
    max_batch: int = 64
    workers: int = 0
    """Processes that hold the model. 0: one, and on a CPU up to one for each core, when they are needed, of models
    that write captions only."""
    threads: int = 1
    """CPU threads of each worker. More than one answers a lone stream sooner, where nothing else wants the cores."""

    def __post_init__(self) -> None:
        _within(self, "max_batch", 1, 1024)
        _within(self, "workers", 0, 64)
        _within(self, "threads", 1, 256)
        if not self.model or not self.device:
            raise ValueError("model and device must not be empty")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    kind: StoreName = "memory"
    """memory: sessions end with the process. redis: they outlive it, and any gateway can go on with them."""
    url: str = field(default="", repr=False)
    """Of the Redis; it may hold a password."""
    timeout_s: float = 1.0
    """How long the Redis may take to answer. Later ones do not count: a session goes on without it."""
    time_to_live_s: float = 300.0
    """How long a session that nobody writes to is kept."""

    def __post_init__(self) -> None:
        _within(self, "timeout_s", 0.05, 60)
        _within(self, "time_to_live_s", 1, 86_400)
        if self.kind == "redis" or self.url:
            parse_url(self.url)


@dataclass(frozen=True, slots=True)
class TelephonySettings:
    webhook_url: str = ""
    """Where what is said of calls is sent; empty: nowhere."""
    webhook_secret: str = field(default="", repr=False)
    """Deliveries are signed with it."""
    webhook_queue: int = 1000
    """Reports of one call that may wait for the webhook."""
    webhook_give_up_s: float = 3600.0
    """How long one report is tried."""
    public_url: str = ""
    """By which lines reach this server, as "wss://voice.example.org"; they sign it. Empty: as they name the host."""
    twilio_secret: str = field(default="", repr=False)
    """The account's auth token, with which Twilio signs."""
    audiohook_secret: str = field(default="", repr=False)
    """The client secret of Genesys, in base64, with which it signs."""
    audiosocket_port: int = 0
    """Of Asterisk's AudioSocket, by TCP; 0: off."""
    audiosocket_peers: tuple[str, ...] = ()
    """Addresses and networks that may connect there, as "10.1.0.0/16"; empty: this machine alone."""

    def __post_init__(self) -> None:
        _within(self, "webhook_queue", 1, 100_000)
        _within(self, "webhook_give_up_s", 1, 7 * 86_400)
        _within(self, "audiosocket_port", 0, 65_535)
        if self.webhook_url and not re.match(r"https?://[^/]", self.webhook_url):
            raise ValueError('webhook_url begins with "https://" or "http://"')
        if self.public_url and not re.match(r"wss?://[^/]", self.public_url):
            raise ValueError('public_url begins with "wss://" or "ws://"')
        try:
            base64.b64decode(self.audiohook_secret, validate=True)
        except ValueError:
            raise ValueError("audiohook_secret is base64, as Genesys shows it") from None
        for peer in self.audiosocket_peers:
            ipaddress.ip_network(peer)


@dataclass(frozen=True, slots=True)
class WyomingSettings:
    port: int = 0
    """Of Wyoming, by TCP, for Home Assistant; 0: off."""
    peers: tuple[str, ...] = ()
    """Addresses and networks that may connect there, as "10.1.0.0/16"; empty: this machine alone."""

    def __post_init__(self) -> None:
        _within(self, "port", 0, 65_535)
        for peer in self.peers:
            ipaddress.ip_network(peer)


@dataclass(frozen=True, slots=True)
class Config:
    server: ServerSettings = field(default_factory=ServerSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    media: MediaSettings = field(default_factory=MediaSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    telephony: TelephonySettings = field(default_factory=TelephonySettings)
    wyoming: WyomingSettings = field(default_factory=WyomingSettings)


def load_config(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Puts the layers on top of each other; the later one wins.

    Args:
        environment: by default this process'.
        flags: keys like "server.port"; None as a value means that the flag was not given.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a wrong type, a value out of its range.
    """
    values: dict[str, tuple[Any, str]] = {}
    if file is not None:
        values |= _from_file(file)
    values |= _from_environment(os.environ if environment is None else environment)
    values |= {key: (value, "the command line") for key, value in (flags or {}).items() if value is not None}

    sections = {}
    for section in dataclasses.fields(Config):
        kind = get_type_hints(Config)[section.name]
        given = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(section.name + ".")}
        sections[section.name] = _build(kind, section.name, given)
    return Config(**sections)


def _from_file(file: Path) -> dict[str, tuple[Any, str]]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from None
    values: dict[str, tuple[Any, str]] = {}
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: {section} stands outside of a section; known sections: {', '.join(_SECTIONS)}")
        for name, value in table.items():
            key = f"{section}.{name}"
            if key not in _TYPES:
                raise ConfigError(f"{file}: unknown key {key}; {_known(section)}")
            values[key] = (value, str(file))
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    """Other programs of the project may read other `TYMPAN_*` variables: only those with a section's name count."""
    names = {variable_name(key): key for key in _TYPES}
    values: dict[str, tuple[Any, str]] = {}
    for variable, text in environment.items():
        if variable in names:
            values[names[variable]] = (text, variable)
            continue
        section = variable.removeprefix(ENV_PREFIX).partition("_")[0].lower()
        if variable.startswith(ENV_PREFIX) and section in _SECTIONS:
            raise ConfigError(f"{variable}: unknown setting; {_known(section)}")
    return values


def variable_name(key: str) -> str:
    """The environment variable of a key: "server.port" is TYMPAN_SERVER_PORT."""
    return ENV_PREFIX + key.replace(".", "_").upper()


def _build(kind: type, section: str, given: dict[str, tuple[Any, str]]) -> Any:
    converted = {
        name: _convert(value, _TYPES[f"{section}.{name}"], f"{section}.{name}", source)
        for name, (value, source) in given.items()
    }
    try:
        return kind(**converted)
    except ValueError as error:
        sources = ", ".join(sorted({source for _, source in given.values()}))
        raise ConfigError(f"{section}: {error} (from {sources})") from None


def _convert(value: Any, kind: Any, key: str, source: str) -> Any:
    """A value of TOML or of a flag, or the text of a variable, as its type."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ConfigError(f"{key} must be one of {', '.join(get_args(kind))}, not {value!r} (from {source})")
        return value
    if get_origin(kind) is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{key} must be a list of texts, not {value!r} (from {source})")
        return tuple(item.strip() for item in items if item.strip())
    if kind is bool:
        value = _TRUTH.get(value.lower(), value) if isinstance(value, str) else value
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{key} must be true or false, not {value!r} (from {source})")
    try:
        if isinstance(value, kind) and not isinstance(value, bool):
            return value
        if isinstance(value, str) or (kind is float and type(value) is int):
            return kind(value)
    except ValueError:
        pass
    raise ConfigError(f"{key} must be {_KIND_NAMES[kind]}, not {value!r} (from {source})")


def _within(settings: Any, name: str, low: float, high: float) -> None:
    value = getattr(settings, name)
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value}")


def _known(section: str) -> str:
    names = [key.partition(".")[2] for key in _TYPES if key.startswith(section + ".")]
    if not names:
        return f"known sections: {', '.join(_SECTIONS)}"
    return f"known in {section}: {', '.join(names)}"


_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_KIND_NAMES = {int: "a whole number", float: "a number", str: "a text"}
_SECTIONS = tuple(section.name for section in dataclasses.fields(Config))
_TYPES: dict[str, Any] = {
    f"{section}.{name}": kind
    for section, settings in get_type_hints(Config).items()
    for name, kind in get_type_hints(settings).items()
}
