"""`--redact`, `--call` and `--keyword`: what is asked for, and what results say of a call."""

from __future__ import annotations

import json
from argparse import ArgumentParser

import pytest
from tympan_client import CallOptions, CallSummary, SessionOptions

from streaming.cli import serve
from streaming.cli.calls import parse_call, parse_redact
from streaming.cli.errors import UserError
from streaming.cli.results import Transcription
from streaming.config import ConfigError, load_config


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (None, None),
        ("card", ("card",)),
        ("phone, card", ("card", "phone")),
        ("all", ("card", "dob", "phone", "digits")),
        ("", ()),
    ],
)
def test_kinds_are_separated_by_commas(text: str | None, kinds: tuple[str, ...] | None) -> None:
    assert parse_redact(text) == kinds


def test_an_unknown_kind_is_said_so() -> None:
    with pytest.raises(UserError, match="--redact knows card, dob, phone, digits and all, not iban"):
        parse_redact("card,iban")


def test_keywords_ask_for_the_call() -> None:
    assert parse_call(False, None) is None
    assert parse_call(True, None) == CallOptions()
    assert parse_call(False, ["refund"]) == CallOptions(keywords=("refund",))


def test_the_session_is_asked_for_both() -> None:
    message = SessionOptions(redact=("card",), call=CallOptions(dead_air_ms=900, keywords=("refund",))).start_message()
    assert (message["redact"], message["call"]) == (("card",), {"dead_air_ms": 900, "keywords": ("refund",)})
    assert not {"redact", "call"} & SessionOptions().start_message().keys()


def test_the_account_is_in_json_where_there_is_one() -> None:
    result = Transcription("call.wav")
    assert "call" not in json.loads(result.render("json"))
    result.receive(CallSummary(call={"audio_ms": 5}))
    assert json.loads(result.render("json"))["call"] == {"audio_ms": 5}


def test_a_server_is_told_what_it_hides() -> None:
    parser = ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    assert parser.parse_args(["serve", "--redact", "card,dob"]).redact == "card,dob"
    flags = {"session.redact": "card, dob"}
    assert load_config(environment={}, flags=flags).session.redact == ("card", "dob")
    assert load_config(environment={"TYMPAN_SESSION_REDACT": "all"}).session.redact == ("all",)
    with pytest.raises(ConfigError, match="redact knows card, dob, phone, digits, all, not iban"):
        load_config(environment={"TYMPAN_SESSION_REDACT": "iban"})
