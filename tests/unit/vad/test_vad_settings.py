import msgspec
import pytest

from streaming.protocol.messages import Endpointing
from vad import EndpointSettings


def test_names_and_defaults_are_those_of_the_protocol() -> None:
    wire = msgspec.structs.asdict(Endpointing())
    assert wire == {name: getattr(EndpointSettings(), name) for name in EndpointSettings.__slots__}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0.01),
        ("min_speech_ms", -1),
        ("min_silence_ms", 99),
        ("max_utterance_ms", 29_001),
        ("no_speech_ms", 3_600_001),
        ("pre_roll_ms", 2_001),
        ("pad_ms", -1),
        ("detector", "ear"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        EndpointSettings(**{name: value})  # type: ignore[arg-type]
