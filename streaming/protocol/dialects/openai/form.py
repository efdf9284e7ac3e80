"""A `multipart/form-data` body (RFC 7578), piece by piece: its file goes through, its fields are kept."""

from __future__ import annotations

from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from streaming.protocol.errors import ProtocolError

FILE: Final = "file"
MAX_FIELDS: Final = 200
MAX_FIELD_BYTES: Final = 1 << 16
MAX_BOUNDARY_BYTES: Final = 200
"""RFC 2046 has 70."""


class Form:
    """Raises ProtocolError (`bad_message`): it is none, or has too much in it."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
            raise ProtocolError("bad_message", "the body must be multipart/form-data, with the audio in `file`")
        self.fields: list[tuple[str, str]] = []
        """In order; a name may come several times."""
        self.file_found = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._part_named,
                "on_part_data": self._part_data,
                "on_part_end": self._part_ends,
            },
        )
        self._ended = False
        self._parser.callbacks["on_end"] = self._ends
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._name: str | None = None
        self._is_file = False
        self._value = bytearray()
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Takes a piece of the body; returns what it has of the file."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise ProtocolError("bad_message", "the body is no multipart/form-data") from None
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def end(self) -> None:
        """The body is over."""
        if not self._ended:
            raise ProtocolError("bad_message", "the body ends before its last boundary")
        if not self.file_found:
            raise ProtocolError("bad_message", "file: is missing")

    def _part_begins(self) -> None:
        self._name, self._is_file, self._value = None, False, bytearray()
        self._header = (b"", b"")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], b"")

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _header_ends(self) -> None:
        name, value = self._header
        self._header = (b"", b"")
        if name.lower() == b"content-disposition":
            _, options = parse_options_header(value)
            self._name = options.get(b"name", b"").decode("utf-8", "replace")

    def _part_named(self) -> None:
        if self._name == FILE:
            if self.file_found:
                raise ProtocolError("bad_message", "file: may come only once")
            self.file_found = self._is_file = True
        elif len(self.fields) >= MAX_FIELDS:
            raise ProtocolError("bad_message", f"a form may have at most {MAX_FIELDS} fields")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._pieces.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            raise ProtocolError("bad_message", f"a field may have at most {MAX_FIELD_BYTES} bytes")

    def _part_ends(self) -> None:
        if not self._is_file and self._name:
            self.fields.append((self._name, self._value.decode("utf-8", "replace")))

    def _ends(self) -> None:
        self._ended = True
