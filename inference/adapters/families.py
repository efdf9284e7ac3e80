"""The families of models that Tympan runs: what each can do, what it keeps of a stream, and what was verified how.

No torch: the gateway reads this for `tympan models`. `docs/models.md` says the same.
"""

from __future__ import annotations

from inference.adapters import memory
from inference.adapters.family import Evidence, Family, Memory, Published
from inference.qwen_audio.instructions import supported_tasks

__all__ = ["FAMILIES", "Evidence", "Family", "Memory", "Published", "family_of", "is_chat"]

_ADAPTERS = "tests/unit/inference/adapters"
_CONTRACT = Evidence(
    "structure only",
    f"{_ADAPTERS}/test_adapter_contract.py",
    "the engine's contract: one answer for each job, neither chunks nor neighbours matter, work is bounded",
)

_QWEN_AUDIO_CONFIG = {
    "vocab_size": 155947,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "kv_channels": 128,
    "intermediate_size": 22016,
    "audio": {"n_mels": 80, "n_state": 1280, "n_layer": 32, "output_dim": 4096},
}
_QWEN_AUDIO_KEEPS = (
    "keys and values of the encoder and of the language model for what was heard; a final hears its clip in one piece, "
    "which is then kept for all that is asked about it"
)
_QWEN_AUDIO_EVIDENCE = (
    Evidence(
        "golden vectors",
        "tests/golden/test_qwen_audio.py",
        "features, encoder, logits and greedy tokens equal the original code's for a tiny random checkpoint",
    ),
    Evidence(
        "structure only",
        "tests/unit/inference/qwen_audio/test_qwen_audio_engine.py",
        "captions in the engine equal the model's own decoding, alone and in a batch",
    ),
    Evidence(
        "structure only",
        "tests/unit/inference/qwen_audio/test_qwen_audio_answers.py",
        "answers and chats in the engine equal the model's own decoding; a clip is read once for all tasks",
    ),
    _CONTRACT,
)

FAMILIES: tuple[Family, ...] = (
    Family(
        name="Whisper",
        model_type="whisper",
        code="own",
        tasks=supported_tasks("whisper"),
        languages="English, or 99 languages (multilingual checkpoints; these also translate to English)",
        language_count=99,
        streaming="incremental",
        keeps="keys and values of encoder and cross-attention, features; a final encodes its utterance once more",
        times="cross-attention, 20 ms",
        batch="all jobs of a step in one batch",
        published=(
            Published(
                "tiny.en",
                {
                    "d_model": 384,
                    "encoder_layers": 4,
                    "decoder_layers": 4,
                    "encoder_ffn_dim": 1536,
                    "decoder_ffn_dim": 1536,
                    "vocab_size": 51864,
                },
            ),
        ),
        evidence=(
            Evidence(
                "real weights",
                "tests/unit/inference/engine/test_whisper_engine.py",
                "the bundled tiny.en; other sizes have the same code and were not run",
            ),
        ),
        parameters=memory.whisper_parameters,
        stream_values=memory.whisper_stream,
    ),
    Family(
        name="Qwen-Audio",
        model_type="qwen",
        code="own",
        tasks=supported_tasks("qwen_audio"),
        languages="8 languages, and Chinese in traditional characters, told or found out",
        language_count=9,
        streaming="incremental",
        keeps=_QWEN_AUDIO_KEEPS,
        times="stamps that the model writes (word_timestamps), else none: estimated from the segment's bounds",
        batch="all jobs of a step in one batch",
        published=(Published("Qwen/Qwen-Audio", _QWEN_AUDIO_CONFIG),),
        evidence=_QWEN_AUDIO_EVIDENCE,
        parameters=memory.qwen_audio_parameters,
        stream_values=memory.qwen_audio_stream,
    ),
    Family(
        name="Qwen-Audio-Chat",
        model_type="qwen",
        code="own",
        tasks=supported_tasks("qwen_audio_chat"),
        languages="8 languages, and Chinese in traditional characters",
        language_count=9,
        streaming="incremental",
        keeps=_QWEN_AUDIO_KEEPS,
        times="none: estimated from the segment's bounds",
        batch="all jobs of a step in one batch",
        published=(Published("Qwen/Qwen-Audio-Chat", _QWEN_AUDIO_CONFIG),),
        evidence=_QWEN_AUDIO_EVIDENCE,
        parameters=memory.qwen_audio_parameters,
        stream_values=memory.qwen_audio_stream,
    ),
    Family(
        name="Nemotron streaming ASR",
        model_type="nemotron_asr_streaming",
        code="transformers",
        tasks=("transcribe",),
        languages="English",
        language_count=1,
        streaming="incremental",
        keeps="the encoder's keys and values (5.6 s), the convolutions' left sides, the RNN-T's state",
        times="the frame of 80 ms at which a token was emitted",
        batch="one by one",
        published=(Published("nvidia/nemotron-speech-streaming-en-0.6b", {}),),
        evidence=(
            Evidence(
                "structure only",
                f"{_ADAPTERS}/test_nemotron_adapter.py",
                "tokens and frames equal transformers' own streaming generation",
            ),
            _CONTRACT,
        ),
        parameters=memory.nemotron_parameters,
        stream_values=memory.nemotron_stream,
    ),
    Family(
        name="Voxtral Realtime",
        model_type="voxtral_realtime",
        code="transformers",
        tasks=("transcribe",),
        languages="13 languages, which the model finds out by itself",
        language_count=13,
        streaming="incremental",
        keeps="keys and values of the encoder (15 s) and of the language model, the convolutions' left sides",
        times="the step of 80 ms at which a token was said, less the delay",
        batch="one by one",
        published=(Published("mistralai/Voxtral-Mini-4B-Realtime-2602", {}),),
        evidence=(
            Evidence(
                "structure only",
                f"{_ADAPTERS}/test_voxtral_adapter.py",
                "tokens of each step equal transformers' own streaming generation",
            ),
            _CONTRACT,
        ),
        parameters=memory.voxtral_parameters,
        stream_values=memory.voxtral_stream,
    ),
    Family(
        name="Qwen3-ASR",
        model_type="qwen3_asr",
        code="transformers",
        tasks=("transcribe",),
        languages="30 languages, told or found out",
        language_count=30,
        streaming="windowed",
        keeps="the language model's keys and values for the prompt and full windows of 8 s",
        times="none: estimated from the segment's bounds",
        batch="one by one",
        published=(
            Published("Qwen/Qwen3-ASR-1.7B-hf", {"audio_config": {"output_dim": 2048}}),
            Published(
                "Qwen/Qwen3-ASR-0.6B-hf",
                {
                    "audio_config": {
                        "output_dim": 1024,
                        "encoder_layers": 18,
                        "d_model": 896,
                        "encoder_ffn_dim": 3584,
                    },
                    "text_config": {"hidden_size": 1024, "intermediate_size": 3072},
                },
            ),
        ),
        evidence=(
            Evidence(
                "structure only",
                f"{_ADAPTERS}/test_qwen3_asr_adapter.py",
                "text within a window equals transformers' generation; a window's embeddings are the same alone",
            ),
            _CONTRACT,
        ),
        parameters=memory.qwen3_asr_parameters,
        stream_values=memory.qwen3_asr_stream,
    ),
    Family(
        name="Qwen2-Audio",
        model_type="qwen2_audio",
        code="transformers",
        tasks=supported_tasks("qwen2_audio"),
        languages="8 languages, told or found out",
        language_count=8,
        streaming="whole",
        keeps="the embeddings of the last job's audio; each other job encodes a window of 30 s",
        times="none: estimated from the segment's bounds",
        batch="one by one",
        published=(
            Published(
                "Qwen/Qwen2-Audio-7B",
                {
                    "text_config": {
                        "hidden_size": 4096,
                        "intermediate_size": 11008,
                        "num_hidden_layers": 32,
                        "num_attention_heads": 32,
                        "num_key_value_heads": 32,
                        "vocab_size": 156032,
                    }
                },
            ),
        ),
        evidence=(
            Evidence(
                "structure only",
                f"{_ADAPTERS}/test_qwen2_audio_adapter.py",
                "text equals transformers' generation; the task is the instruction in the prompt",
            ),
            _CONTRACT,
        ),
        parameters=memory.qwen2_audio_parameters,
        stream_values=memory.qwen2_audio_stream,
    ),
)


def family_of(model_type: str, name: str = "", chat_format: object = None) -> Family | None:
    """
    Args:
        model_type: as config.json has it.
        name: of the folder or the hub's repository; it tells chat models of the same type from base models.
        chat_format: as generation_config.json has it, where there is one.
    """
    found = [family for family in FAMILIES if family.model_type == model_type]
    return found[is_chat(name, chat_format)] if len(found) > 1 else next(iter(found), None)


def is_chat(name: str, chat_format: object = None) -> bool:
    """Whether a checkpoint of Qwen-Audio's type is the chat model: as it says itself, else by the end of its name."""
    if chat_format in ("chatml", "raw"):
        return chat_format == "chatml"
    return "chat" in name.rstrip("/").rpartition("/")[2].lower()
