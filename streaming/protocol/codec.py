"""Bytes to typed messages and back, for the two subprotocols. Every malformed input comes out as `ProtocolError`.

The text of an error names the field and what would be right. It never repeats a value that the client sent, since
that could be speech; the name of an unknown field is repeated, cut and in printable ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import inspect

from streaming.protocol.errors import ProtocolError
from streaming.protocol.messages import SUBPROTOCOLS, ClientMessage, RawAudio, RefusedAsk, ServerMessage

Codec = Literal["msgpack", "json"]

CODECS: Final[dict[str, Codec]] = {"tympan.v1.msgpack": "msgpack", "tympan.v1.json": "json"}
DEFAULT_CODEC: Final[Codec] = "json"
"""For a client that offers no subprotocol at all."""

_json_decoder: Final[msgspec.json.Decoder[ClientMessage]] = msgspec.json.Decoder(ClientMessage)
_msgpack_decoder: Final[msgspec.msgpack.Decoder[ClientMessage]] = msgspec.msgpack.Decoder(ClientMessage)


class _AskId(msgspec.Struct, tag_field="type", tag="ask"):
    id: Annotated[str, msgspec.Meta(max_length=128)]


_json_ask: Final[msgspec.json.Decoder[_AskId]] = msgspec.json.Decoder(_AskId)
_msgpack_ask: Final[msgspec.msgpack.Decoder[_AskId]] = msgspec.msgpack.Decoder(_AskId)
_json_encoder: Final = msgspec.json.Encoder()
_msgpack_encoder: Final = msgspec.msgpack.Encoder()

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_OUT_OF_RANGE = re.compile(r"Expected `\w+` (?:[<>]|of length|matching)|(?:Number|Integer value) out of range")
_INDEX = re.compile(r"\[\d+\]")
_FIELD_NAME_CHARS = 40


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """The first offered subprotocol that this server speaks, or None. (Nothing offered: speak DEFAULT_CODEC.)"""
    return next((name for name in offered if name in SUBPROTOCOLS), None)


def decode_client(codec: Codec, payload: bytes | str) -> ClientMessage | RawAudio | RefusedAsk:
    """One WebSocket message (binary: bytes, text: str) as a typed record. A question with a value outside its range is
    one as well, since captions are not to end by it.

    Raises:
        ProtocolError: `bad_message`, or `unsupported` where a known field has a value outside its range.
    """
    try:
        if codec == "json":
            return RawAudio(payload) if isinstance(payload, bytes) else _json_decoder.decode(payload)
        if isinstance(payload, str):
            raise ProtocolError("bad_message", "text message on a msgpack connection; send binary messages")
        return _msgpack_decoder.decode(payload)
    except msgspec.ValidationError as error:
        refusal = _refusal(str(error))
        asked = _ask_id(codec, payload) if refusal.code == "unsupported" else None
        if asked is None:
            raise refusal from None
        return RefusedAsk(asked, refusal.text)
    except UnicodeError:
        raise ProtocolError("bad_message", "text is not valid UTF-8") from None
    except RecursionError:
        raise ProtocolError("bad_message", "nested too deeply") from None
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise ProtocolError("bad_message", f"not a {codec} message: {error}") from None
    except MemoryError:
        raise ProtocolError("too_large", "the message declares more than it can hold") from None


def encode_server(codec: Codec, message: ServerMessage) -> bytes | str:
    """A server message as the payload of one WebSocket message: str (text) for JSON, bytes (binary) for msgpack."""
    if codec == "json":
        return _json_encoder.encode(message).decode()
    return _msgpack_encoder.encode(message)


def encode_logged(message: ServerMessage) -> bytes:
    """A server message as a session's log keeps it; `watching.decode_said` reads it."""
    return _msgpack_encoder.encode(message)


def _ask_id(codec: Codec, payload: bytes | str) -> str | None:
    """Of a message that is an `ask`."""
    try:
        return (_json_ask.decode(payload) if codec == "json" else _msgpack_ask.decode(payload)).id  # type: ignore[arg-type]
    except msgspec.ValidationError:
        return None


def _refusal(validation_text: str) -> ProtocolError:
    """msgspec's ValidationError in our words: it may quote values, ours does not."""
    match = _AT.match(validation_text)
    what, path = (match["what"], match["path"] or "$") if match else (validation_text, "$")
    place = _INDEX.sub("[]", path)
    if unknown := _UNKNOWN_FIELD.fullmatch(what):
        cut = unknown["name"][:_FIELD_NAME_CHARS]
        name = "".join(char if char.isascii() and char.isprintable() else "?" for char in cut)
        return ProtocolError("bad_message", f"{path}: unknown field `{name}`{_known(_FIELDS.get(place))}")
    if what.startswith("Invalid enum value"):
        return ProtocolError("unsupported", f"{path}: not a supported value{_known(_VALUES.get(place))}")
    if what.startswith("Invalid value"):
        return ProtocolError("bad_message", f"{path}: unknown message type{_known(_VALUES.get('$.type'))}")
    code: Literal["unsupported", "bad_message"] = "unsupported" if _OUT_OF_RANGE.match(what) else "bad_message"
    return ProtocolError(code, f"{path}: {what[0].lower()}{what[1:]}")


def _known(names: Sequence[object] | None) -> str:
    return f"; known: {', '.join(map(str, names))}" if names else ""


def _schema() -> tuple[dict[str, tuple[object, ...]], dict[str, tuple[str, ...]]]:
    """Of each path as msgspec writes it (`$.audio.encoding`), but for indices (`$.task[].name`): the values it may
    have, and the fields below it."""
    values: dict[str, tuple[object, ...]] = {}
    fields: dict[str, tuple[str, ...]] = {}

    def visit(path: str, kind: inspect.Type) -> None:
        match kind:
            case inspect.LiteralType(values=allowed):
                values[path] = allowed
            case inspect.UnionType(types=types):
                for one in types:
                    visit(path, one)
            case inspect.ListType(item_type=item):
                visit(f"{path}[]", item)
            case inspect.StructType(fields=members):
                if path != "$":
                    fields[path] = tuple(field.name for field in members)
                for field in members:
                    visit(f"{path}.{field.name}", field.type)

    messages = inspect.type_info(ClientMessage)
    assert isinstance(messages, inspect.UnionType)
    visit("$", messages)
    values["$.type"] = tuple(kind.tag for kind in messages.types if isinstance(kind, inspect.StructType))
    return values, fields


_VALUES, _FIELDS = _schema()
