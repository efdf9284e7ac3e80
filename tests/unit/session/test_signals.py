"""What a telephone line tells beside its audio stands in the session's messages like what is heard in it."""

from streaming.protocol.messages import AudioFormat, CallOptions, CallSummary, Event, Gap, Signal, Start, Stop, Summary
from tests.support.sessions import Driver, audio, make_core, speech

KEY = Event(label="dtmf_5", channel=0, start_ms=900, source="signalling")


def driver(**options: object) -> Driver:
    start = Start(audio=AudioFormat(), call=CallOptions(), **options)  # type: ignore[arg-type]
    return Driver(make_core(start), answer=True)


def test_a_key_is_said_at_its_place_and_counts_for_the_call() -> None:
    session = driver()
    session.give(audio(speech(total_s=1.0)), Signal(KEY), Stop())
    assert [event for event in session.sent(Event) if event.source == "signalling"] == [KEY]
    (summary,) = session.sent(CallSummary)
    assert [(key.label, key.start_ms) for key in summary.call.keys] == [("5", 900)]


def test_a_key_is_hidden_where_numbers_are() -> None:
    session = driver(redact=["card"])
    session.give(audio(speech(total_s=1.0)), Signal(KEY), Stop())
    assert [event.label for event in session.sent(Event)] == ["dtmf_masked"]
    (summary,) = session.sent(CallSummary)
    assert [key.label for key in summary.call.keys] == ["?"]


def test_audio_that_one_channel_lacks_is_a_gap_of_it() -> None:
    session = driver()
    gap = Gap(from_sample=800, to_sample=1600, reason="client", channel=0)
    session.give(audio(speech(total_s=1.0)), Signal(gap), Stop())
    assert session.sent(Gap) == [gap]
    assert session.sent(Summary)[0].gaps == 1


def test_after_the_end_nothing_is_taken() -> None:
    session = driver()
    session.give(audio(speech(total_s=1.0)), Stop(), Signal(KEY))
    assert not session.sent(Event)
