"""How many numbers a model and one of its streams hold, from its config.json alone. No torch.

The defaults are those of transformers' configuration classes. A stream's numbers are what stays between jobs; its
PCM, 32 kB for each second of the open utterance, is not among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]

PCM_BYTES_PER_S = 32_000


def whisper_parameters(config: Config) -> int:
    d, mels = config["d_model"], config.get("num_mel_bins", 80)
    positions = config.get("max_source_positions", 1500) + config.get("max_target_positions", 448)
    convolutions = 3 * mels * d + d + 3 * d * d + d
    attention = 4 * d * d + 3 * d
    encoder = config["encoder_layers"] * (attention + _feed_forward(d, config["encoder_ffn_dim"]) + 4 * d)
    decoder = config["decoder_layers"] * (2 * attention + _feed_forward(d, config["decoder_ffn_dim"]) + 6 * d)
    return int(convolutions + positions * d + encoder + decoder + 4 * d + config["vocab_size"] * d)


def whisper_stream(config: Config, seconds: float) -> int:
    """Keys and values of 50 frames a second: of the encoder, and of the decoder's cross-attention."""
    layers = config["encoder_layers"] + config["decoder_layers"]
    return int(round(50 * seconds) * layers * 2 * config["d_model"])


def nemotron_parameters(config: Config) -> int:
    encoder = config.get("encoder_config", {})
    d, layers = encoder.get("hidden_size", 1024), encoder.get("num_hidden_layers", 24)
    inner, kernel = encoder.get("intermediate_size", 4096), encoder.get("conv_kernel_size", 9)
    channels, bins = encoder.get("subsampling_conv_channels", 256), encoder.get("num_mel_bins", 80)
    for _ in range(3):
        bins = bins // 2 + 1
    subsampling = 10 * channels + 2 * (10 * channels + channels * channels + channels) + channels * bins * d + d
    attention = 4 * (d * d + d) + d * d + 2 * d
    convolution = 2 * d * d + 2 * d + d * kernel + d + 2 * d + d * d + d
    blocks = layers * (2 * _feed_forward(d, inner) + attention + convolution + 10 * d)
    hidden, vocabulary = config.get("decoder_hidden_size", 640), config.get("vocab_size", 1025)
    predictor = vocabulary * hidden + config.get("num_decoder_layers", 2) * (8 * hidden * hidden + 8 * hidden)
    joint = d * hidden + hidden + hidden * hidden + hidden + hidden * vocabulary + vocabulary
    return int(subsampling + blocks + predictor + joint)


def nemotron_stream(config: Config, seconds: float) -> int:
    """Keys and values of the left context, 12.5 frames a second until it is full, the convolutions' left sides, and
    the prediction network's state."""
    encoder = config.get("encoder_config", {})
    d, layers = encoder.get("hidden_size", 1024), encoder.get("num_hidden_layers", 24)
    frames = min(round(12.5 * seconds), encoder.get("sliding_window", 71) - 1)
    bins, channels = encoder.get("num_mel_bins", 80), encoder.get("subsampling_conv_channels", 256)
    subsampling = (bins + 3) + channels * (bins // 2 + 4) + channels * ((bins // 2 + 1) // 2 + 4)
    predictor = (2 * config.get("num_decoder_layers", 2) + 2) * config.get("decoder_hidden_size", 640)
    return int(layers * d * (2 * frames + encoder.get("conv_kernel_size", 9) - 1) + subsampling + predictor)


_VOXTRAL_TEXT = {
    "vocab_size": 131072,
    "hidden_size": 3072,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "sliding_window": 8192,
}


def voxtral_parameters(config: Config) -> int:
    audio, text = config.get("audio_config", {}), {**_VOXTRAL_TEXT, **config.get("text_config", {})}
    d, mels = audio.get("hidden_size", 1280), audio.get("num_mel_bins", 128)
    wide = audio.get("num_attention_heads", 32) * audio.get("head_dim", 64)
    inner = audio.get("intermediate_size", 5120)
    layer = 4 * d * wide + 2 * wide + d + 3 * d * inner + d + 2 * d
    encoder = 3 * mels * d + d + 3 * d * d + d + audio.get("num_hidden_layers", 32) * layer + d
    width = text["hidden_size"]
    projector = config.get("downsample_factor", 4) * d * width + width * width
    delay = text["num_hidden_layers"] * 2 * 32 * width
    tied = config.get("tie_word_embeddings", True)
    return int(encoder + projector + delay + _language_model(text, tied=tied))


def voxtral_stream(config: Config, seconds: float) -> int:
    """Keys and values: of the encoder, 50 frames a second within its window, and of the language model, one token
    for each 80 ms within its own."""
    audio, text = config.get("audio_config", {}), {**_VOXTRAL_TEXT, **config.get("text_config", {})}
    wide = audio.get("num_attention_heads", 32) * audio.get("head_dim", 64)
    heard = seconds + 3.04  # 38 steps of silence and delay stand before the audio
    frames = min(round(50 * heard), audio.get("sliding_window", 750) - 1)
    tokens = min(round(12.5 * heard), text["sliding_window"] - 1)
    return int(frames * audio.get("num_hidden_layers", 32) * 2 * wide + tokens * _token_state(text))


_QWEN3_TEXT = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
_PROMPT_TOKENS = 10


def qwen3_asr_parameters(config: Config) -> int:
    audio, text = config.get("audio_config", {}), {**_QWEN3_TEXT, **config.get("text_config", {})}
    d, out = audio.get("d_model", 1024), audio.get("output_dim", 3584)
    channels, bins = audio.get("downsample_hidden_size", 480), audio.get("num_mel_bins", 128)
    for _ in range(3):
        bins = (bins + 1) // 2
    convolutions = 10 * channels + 2 * (9 * channels * channels + channels) + channels * bins * d
    layer = 4 * (d * d + d) + _feed_forward(d, audio.get("encoder_ffn_dim", 4096)) + 4 * d
    projector = d * d + d + d * out + out
    norms = text["num_hidden_layers"] * 2 * text["head_dim"]
    tied = config.get("tie_word_embeddings", True)
    encoder = convolutions + audio.get("encoder_layers", 24) * layer + 2 * d
    return int(encoder + projector + norms + _language_model(text, tied=tied))


def qwen3_asr_stream(config: Config, seconds: float) -> int:
    """The language model's keys and values for the prompt and full windows of 8 s, 13 tokens a second."""
    text = {**_QWEN3_TEXT, **config.get("text_config", {})}
    window_s = config.get("audio_config", {}).get("n_window_infer", 800) / 100
    tokens = _PROMPT_TOKENS + round(seconds // window_s * window_s * 13)
    return int(tokens * _token_state(text))


def qwen2_audio_parameters(config: Config) -> int:
    audio, text = config.get("audio_config", {}), config["text_config"]
    d, mels = audio.get("d_model", 1280), audio.get("num_mel_bins", 128)
    layer = 4 * d * d + 3 * d + _feed_forward(d, audio.get("encoder_ffn_dim", 5120)) + 4 * d
    convolutions = 3 * mels * d + d + 3 * d * d + d + audio.get("max_source_positions", 1500) * d
    encoder = convolutions + audio.get("encoder_layers", 32) * layer + 2 * d
    width = text["hidden_size"]
    head = width // text["num_attention_heads"]
    biases = text["num_hidden_layers"] * head * (text["num_attention_heads"] + 2 * text["num_key_value_heads"])
    tied = text.get("tie_word_embeddings", False)
    return int(encoder + d * width + width + biases + _language_model({"head_dim": head, **text}, tied=tied))


def qwen2_audio_stream(config: Config, seconds: float) -> int:
    """The embeddings of the last job's audio, 25 tokens a second; keys and values live for a job only."""
    return round(25 * seconds) * int(config["text_config"]["hidden_size"])


def qwen_audio_parameters(config: Config) -> int:
    audio, width = config["audio"], config["hidden_size"]
    d, mels = audio["n_state"], audio["n_mels"]
    layer = 4 * d * d + 3 * d + _feed_forward(d, 4 * d) + 4 * d
    encoder = 3 * mels * d + d + 3 * d * d + d + audio["n_layer"] * layer + 2 * d
    projector = d * width + width + 2 * width  # and the embeddings of an audio's begin and end
    heads = config["num_attention_heads"] * config.get("kv_channels", 128)
    block = 4 * heads * width + 3 * heads + 3 * width * (config["intermediate_size"] // 2) + 2 * width
    text = 2 * config["vocab_size"] * width + config["num_hidden_layers"] * block + width
    return int(encoder + projector + text)


def qwen_audio_stream(config: Config, seconds: float) -> int:
    """Keys and values of the encoder, 50 frames a second, and of the language model, 25 tokens; the embeddings that
    they are made of; features and samples."""
    audio = config["audio"]
    frame = 2 * audio["n_layer"] * audio["n_state"]
    heads = config["num_attention_heads"] * config.get("kv_channels", 128)
    token = 2 * config["num_hidden_layers"] * heads + config["hidden_size"]
    heard = 100 * audio["n_mels"] + 16_000
    values: int = round(seconds * (50 * frame + 25 * token + heard))
    return values


def _feed_forward(d: int, inner: int) -> int:
    return 2 * d * inner + inner + d


def _token_state(text: Config) -> int:
    """Keys and values of one token."""
    return int(2 * text["num_hidden_layers"] * text["num_key_value_heads"] * text["head_dim"])


def _language_model(text: Config, tied: bool) -> int:
    """Embeddings, gated blocks without biases, norms, and a head where it is not the embeddings."""
    d, size = text["hidden_size"], text["head_dim"]
    attention = 2 * d * size * (text["num_attention_heads"] + text["num_key_value_heads"])
    block = attention + 3 * d * text["intermediate_size"] + 2 * d
    return int((1 if tied else 2) * text["vocab_size"] * d + text["num_hidden_layers"] * block + d)
