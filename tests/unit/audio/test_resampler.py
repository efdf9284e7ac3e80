import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from streaming.audio.resampler import StreamingResampler

RATES = [8000, 24000, 44100, 48000]


def tone(hertz: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def resample(samples: NDArray[np.float32], rate: int) -> NDArray[np.int16]:
    resampler = StreamingResampler(rate)
    return np.concatenate([resampler.feed(samples), resampler.flush()])


def level_db(samples: NDArray[np.int16]) -> float:
    inner = samples[800:-800].astype(np.float64) / 32768
    return float(10 * np.log10(np.mean(inner**2) + 1e-20))


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_in_the_passband_stays_in_place_to_one_quantum(rate: int) -> None:
    out = resample(tone(1000, rate), rate)
    expected = 32768 * 0.5 * np.sin(2 * np.pi * 1000 * np.arange(len(out)) / 16000)
    assert np.abs(out - expected)[800:-800].max() < 3


@pytest.mark.parametrize("rate", RATES)
def test_speech_like_noise_is_what_soxr_makes_of_it(rate: int) -> None:
    """Noise without what lies beyond 85 % of the lower Nyquist frequency; soxr's best quality is the reference."""
    stop = 0.85 * min(rate, 16000) / 2
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(rate))
    spectrum[int(stop) :] = 0
    noise = np.fft.irfft(spectrum, rate)
    samples = (0.3 * noise / np.abs(noise).max()).astype(np.float32)
    expected = soxr.resample(samples, rate, 16000, quality="VHQ") * 32768
    assert np.abs(resample(samples, rate) - expected)[800:-800].max() < 4


@pytest.mark.parametrize("rate", [24000, 44100, 48000])
def test_what_the_clock_cannot_hold_is_not_folded_back(rate: int) -> None:
    assert level_db(resample(tone(9000, rate), rate)) < -80


def test_upsampled_telephone_audio_has_no_mirror_image() -> None:
    out = resample(tone(3400, 8000), 8000).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    assert 20 * np.log10(spectrum[4590:4610].max() / spectrum[3400]) < -75


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("samples_in", [0, 1, 7, 440, 441, 12345])
def test_the_output_is_as_long_as_the_clock_says(rate: int, samples_in: int) -> None:
    assert len(resample(np.zeros(samples_in, np.float32), rate)) == samples_in * 16000 // rate


def test_ten_minutes_of_44100_hertz_do_not_drift() -> None:
    """What is held back stays below the stated delay, and the end is where the clock says."""
    resampler = StreamingResampler(44100)
    block, blocks = np.zeros(44100 * 10, np.float32), 60
    out = 0
    for count in range(1, blocks + 1):
        out += len(resampler.feed(block))
        assert 0 <= count * 160_000 - out <= resampler.delay_samples
    assert out + len(resampler.flush()) == 600 * 16000


@pytest.mark.parametrize(("rate", "delay_ms"), [(8000, 16.5), (44100, 13.5), (48000, 13.5)])
def test_little_is_held_back(rate: int, delay_ms: float) -> None:
    assert StreamingResampler(rate).delay_samples <= delay_ms * 16


def test_16000_hertz_passes_through_at_once() -> None:
    samples = np.arange(-32768, 32768, 7).astype(np.int16)
    resampler = StreamingResampler(16000)
    assert np.array_equal(resampler.feed(samples.astype(np.float32) / np.float32(32768)), samples)
    assert len(resampler.flush()) == 0


@pytest.mark.parametrize("rate", [0, 3999, 44101, 1_000_000])
def test_rates_that_cannot_be_done_are_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="cannot resample"):
        StreamingResampler(rate)


def test_nothing_can_be_fed_after_the_flush() -> None:
    resampler = StreamingResampler(8000)
    resampler.flush()
    with pytest.raises(RuntimeError, match="flushed"):
        resampler.feed(np.zeros(1, np.float32))
