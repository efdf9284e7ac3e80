"""Arrays and WAV files as bytes in the session's format."""

import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tympan_client import AudioFormat, SessionOptions, TympanError
from tympan_client.address import stream_url
from tympan_client.audio import WavFile, chunks_of, declare_wav, encode_samples

S16, F32 = AudioFormat(), AudioFormat(encoding="f32le")
CLIPS = Path(__file__).parents[2] / "data"


def test_float_arrays_are_clipped_to_16_bits() -> None:
    assert np.frombuffer(encode_samples(np.array([0.0, 0.5, -1.0, 2.0]), S16), "<i2").tolist() == [
        0,
        16384,
        -32768,
        32767,
    ]


def test_integer_arrays_become_floats_where_the_session_wants_them() -> None:
    samples = np.array([-32768, 16384], np.int16)
    assert np.frombuffer(encode_samples(samples, F32), "<f4").tolist() == [-1.0, 0.5]


def test_two_channels_are_interleaved() -> None:
    stereo = AudioFormat(channels=2)
    assert np.frombuffer(encode_samples(np.array([[1, 2], [3, 4]], np.int16), stereo), "<i2").tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("array", "audio"),
    [
        (np.zeros(3, np.int64), S16),
        (np.zeros((3, 2)), S16),
        (np.zeros(3), AudioFormat(encoding="mulaw", sample_rate=8000)),
    ],
)
def test_arrays_that_are_not_audio_of_this_session_are_refused(array: np.ndarray, audio: AudioFormat) -> None:
    with pytest.raises(TympanError, match="bad_audio"):
        encode_samples(array, audio)


@pytest.mark.parametrize(
    ("subtype", "encoding"),
    [
        ("PCM_16", "s16le"),
        ("PCM_24", "f32le"),
        ("PCM_32", "f32le"),
        ("FLOAT", "f32le"),
        ("ULAW", "mulaw"),
        ("ALAW", "alaw"),
    ],
)
def test_wav_files_declare_their_format_and_give_all_their_samples(tmp_path: Path, subtype: str, encoding: str) -> None:
    samples = np.sin(np.arange(16_001) / 10).astype(np.float32) * 0.5
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype=subtype)
    options = declare_wav(tmp_path / "a.wav", SessionOptions(audio=AudioFormat(labels=("agent",))))
    assert options.audio == AudioFormat(encoding=encoding, labels=("agent",))
    data = b"".join(chunks_of(str(tmp_path / "a.wav"), options.audio))
    assert len(data) == 16_001 * options.audio.bytes_per_frame
    if encoding == "f32le":
        np.testing.assert_allclose(np.frombuffer(data, "<f4"), samples, atol=1e-6)
    if encoding == "s16le":
        np.testing.assert_allclose(np.frombuffer(data, "<i2") / 32768, samples, atol=1e-4)


def test_the_telephone_clip_goes_as_it_is() -> None:
    audio = WavFile.open(CLIPS / "telephone.wav").audio
    assert audio == AudioFormat(encoding="mulaw", sample_rate=8000)


def test_a_wav_file_that_was_cut_off_gives_the_samples_it_has(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(4 * 1000))
    path = tmp_path / "cut.wav"
    path.write_bytes((tmp_path / "a.wav").read_bytes()[:-401])
    assert sum(map(len, WavFile.open(path).chunks())) == 4 * 1000 - 404


@pytest.mark.parametrize("content", [b"", b"RIFF", b"ID3 not a wav file at all", b"RIFF\0\0\0\0WAVEfmt "])
def test_what_is_not_a_wav_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(TympanError, match="not a WAV file"):
        WavFile.open(tmp_path / "a.wav")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(TympanError, match=r"nowhere\.wav: No such file"):
        WavFile.open("nowhere.wav")


def test_a_rate_that_the_service_does_not_take_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(10), 22_050)
    with pytest.raises(TympanError, match="22050 Hz"):
        WavFile.open(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:8765", "ws://127.0.0.1:8765/v1/stream"),
        ("http://captions.example/", "ws://captions.example/v1/stream"),
        ("https://captions.example", "wss://captions.example/v1/stream"),
        ("wss://captions.example/eu/v1/stream?key=1", "wss://captions.example/eu/v1/stream?key=1"),
    ],
)
def test_addresses_lead_to_the_streams_route(address: str, url: str) -> None:
    assert stream_url(address) == url


@pytest.mark.parametrize("address", ["", "ftp://host", "ws://"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(TympanError, match="bad_use"):
        stream_url(address)
