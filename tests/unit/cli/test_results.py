"""A transcription's events, collected and written down."""

import json

from tympan_client import Gap, ModelInfo, Ready, SoundEvent, Speech, Summary, TranscriptUpdate, Word
from tympan_client.events import Ack, Event

from streaming.cli.results import Transcription


def final(utterance: int, channel: int, start_ms: int, *texts: str) -> TranscriptUpdate:
    words = tuple(
        Word(
            id=i, text=text, start_ms=start_ms + i * 500, end_ms=start_ms + i * 500 + 400, confidence=0.9, state="final"
        )
        for i, text in enumerate(texts)
    )
    return TranscriptUpdate(
        utterance=utterance, channel=channel, revision=1, from_word=0, words=words, final=True, decoded_until_ms=9000
    )


def summary(audio_ms: int) -> Summary:
    return Summary(audio_ms=audio_ms, speech_ms=0, utterances=0, words=0)


def collected(*events: Event) -> Transcription:
    result = Transcription("call.wav", ("agent", "customer"))
    for event in events:
        result.receive(event)
    return result


CALL = collected(
    Ready(session="s", model=ModelInfo(name="tiny.en", device="cpu", dtype="float32"), max_message_bytes=1),
    final(2, 1, 3000, "Hello."),
    final(1, 0, 0, "Good", "morning."),
    final(3, 0, 4000),
    SoundEvent(label="Music", channel=1, start_ms=4000, phase="start"),
    SoundEvent(label="laughs", channel=1, start_ms=5000, end_ms=6000),
    Gap(from_sample=16_000, to_sample=32_000, reason="lost"),
    summary(8000),
)


def test_text_has_a_line_for_each_utterance_in_the_order_of_time() -> None:
    """Finals of different channels may come in any order; one without words is no line."""
    assert CALL.render("txt") == "agent: Good morning.\ncustomer: Hello.\n"


def test_json_has_utterances_and_words_with_times_and_confidence() -> None:
    parsed = json.loads(CALL.render("json"))
    assert (parsed["file"], parsed["model"], parsed["audio_ms"]) == ("call.wav", "tiny.en", 8000)
    first = parsed["utterances"][0]
    assert (first["label"], first["channel"], first["text"]) == ("agent", 0, "Good morning.")
    assert (first["start_ms"], first["end_ms"]) == (0, 900)
    assert first["words"][1] == {"text": "morning.", "start_ms": 500, "end_ms": 900, "confidence": 0.9}
    assert parsed["sounds"] == [{"label": "laughs", "channel": 1, "start_ms": 5000, "end_ms": 6000, "score": None}]
    assert parsed["gaps"] == [{"from_ms": 1000, "to_ms": 2000, "reason": "lost", "channel": None}]


def test_a_json_line_has_no_line_break() -> None:
    assert json.loads(CALL.render_line()) == json.loads(CALL.render("json"))
    assert "\n" not in CALL.render_line()


def test_subtitles_name_the_speaker() -> None:
    assert "00:00:00,000 --> 00:00:00,900\nagent: Good morning." in CALL.render("srt")
    assert CALL.render("vtt").startswith("WEBVTT\n")
    assert "<v customer>Hello." in CALL.render("vtt")


def test_the_position_waits_for_open_utterances_and_passes_over_silence() -> None:
    result = collected(Ack(sample=16_000))
    assert result.position_ms == 1000
    result.receive(Speech(channel=0, state="started", utterance=1, at_ms=1200))
    result.receive(Ack(sample=48_000))
    assert result.position_ms == 1200
    result.receive(final(1, 0, 1200, "Yes."))
    assert result.position_ms == 3000
    result.receive(summary(3400))
    assert result.position_ms == 3400
