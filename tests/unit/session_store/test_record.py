"""Records outlive the version that wrote them; limits are checked where they are made."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from session_store.store import RECORD_FORMAT, BadRecord, Limits, SessionRecord, decode_record, encode_record

RECORD = SessionRecord(session="s", start=b"start", token_hash=b"hash", state=b"\x00\xff", last_seq=4)

FORMAT_1 = bytes.fromhex(
    "89a6666f726d617401a773657373696f6ea173a57374617274c4057374617274b1726573756d655f746f6b656e5f68617368c40468617368"
    "ab6e6578745f73616d706c65cd1f40a86c6173745f73657107ae6e6578745f7574746572616e636503ac6e6578745f776f72645f69640c"
    "a4646f6e65c3"
)
"""session s, start "start", resume_token_hash "hash", next_sample 8000, last_seq 7, next_utterance 3, next_word_id 12,
done."""


def test_a_record_comes_back_and_says_its_format() -> None:
    data = encode_record(RECORD)
    assert decode_record(data) == RECORD
    assert msgspec.msgpack.decode(data)["format"] == RECORD_FORMAT == 2


def test_a_record_of_format_1_is_one_without_a_snapshot() -> None:
    assert decode_record(FORMAT_1) == SessionRecord(
        session="s", start=b"start", token_hash=b"hash", state=b"", last_seq=7, done=True
    )


def test_fields_of_a_later_minor_change_are_ignored() -> None:
    for data in (encode_record(RECORD), FORMAT_1):
        fields = msgspec.msgpack.decode(data)
        assert decode_record(msgspec.msgpack.encode({**fields, "added_later": 1})) == decode_record(data)


def test_a_damaged_or_later_record_is_refused() -> None:
    data = encode_record(RECORD)
    later = msgspec.msgpack.encode({**msgspec.msgpack.decode(data), "format": 3, "last_seq": "new kind"})
    with pytest.raises(BadRecord, match="format 3"):
        decode_record(later)
    for damaged in (b"", data[:-1], data + b"x", FORMAT_1[:-1], b"\x81\xa1\xff\x01"):
        with pytest.raises(BadRecord):
            decode_record(damaged)
    for number in (1, 2):
        with pytest.raises(BadRecord):
            decode_record(msgspec.msgpack.encode({"format": number}))


@pytest.mark.parametrize("name", vars(Limits()))
def test_limits_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(Limits(), **{name: 0})
