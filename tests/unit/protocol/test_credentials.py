"""Where keys stand in a request, and which of them are good."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.protocol.credentials import Keyring, echoed_subprotocol, offered_keys, read_entries

KEY = "0123456789abcdef-key"


@pytest.mark.parametrize("value", [f"Token {KEY}", f"token {KEY}", f"Bearer {KEY}", f"bearer  {KEY}", KEY])
def test_the_authorization_header_with_any_scheme_or_none(value: str) -> None:
    assert offered_keys({"authorization": value}, [], []) == (KEY,)


@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
def test_headers_of_their_own(name: str) -> None:
    assert offered_keys({name: KEY}, [], []) == (KEY,)


@pytest.mark.parametrize("name", ["token", "access_token", "api_key"])
def test_the_query(name: str) -> None:
    assert offered_keys({}, [("model", "x"), (name, KEY)], []) == (KEY,)


@pytest.mark.parametrize(
    ("offered", "echoed"),
    [
        (["token", KEY], "token"),
        (["bearer", KEY, "x-deepgram-session-id", "6a0c"], "bearer"),
        (["realtime", f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1"], "realtime"),
        (["tympan.v1.json", f"tympan.key.{KEY}"], None),
        ([KEY], None),
        (["audio.drachtio.org"], "audio.drachtio.org"),
    ],
)
def test_subprotocols_carry_the_key_and_it_is_never_echoed(offered: list[str], echoed: str | None) -> None:
    keys = offered_keys({}, [], offered)
    assert keys == ((KEY,) if len(offered) > 1 else ())
    assert echoed_subprotocol(offered) == echoed


def test_all_places_are_looked_at_and_each_key_counts_once() -> None:
    keys = offered_keys({"authorization": f"Token {KEY}", "x-api-key": "other"}, [("token", KEY)], ["token", "third"])
    assert keys == (KEY, "other", "third")


def test_nothing_is_no_key() -> None:
    assert offered_keys({"authorization": "Bearer "}, [("token", "")], ["token"]) == ()
    assert offered_keys({"authorization": "k" * 10_000}, [], []) == ()


class TestKeyring:
    def test_an_empty_one_is_open(self) -> None:
        assert Keyring().open
        assert Keyring().allows([])

    def test_a_key_or_its_hash_lets_in(self) -> None:
        hashed = "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()
        for ring in (Keyring([KEY]), Keyring([hashed]), Keyring([KEY + "2", hashed.upper().replace("SHA", "sha")])):
            assert ring.allows(["wrong", KEY])
            assert not ring.allows(["wrong", "", hashed])
            assert not ring.allows([])

    def test_keys_are_not_kept(self) -> None:
        ring = Keyring([KEY])
        assert KEY not in repr(vars(ring))

    @pytest.mark.parametrize(
        "entry", ["", "short", "sha256:", "sha256:xyz", "sha256:" + "a" * 63, "k" * 513, "schlüssel" * 3]
    )
    def test_what_is_no_key_is_refused_without_being_repeated(self, entry: str) -> None:
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - its text is checked
            Keyring([entry])
        assert not entry or entry not in str(refused.value) or entry == "sha256:"

    @given(st.lists(st.text(max_size=40), max_size=4))
    def test_no_other_text_lets_in(self, texts: list[str]) -> None:
        assert Keyring([KEY]).allows(texts) == (KEY in texts)


def test_a_file_has_one_entry_in_a_line() -> None:
    text = f"# keys\n\n{KEY}  the kiosk\n  sha256:00 # a comment\n"
    assert read_entries(text) == [KEY, "sha256:00"]
