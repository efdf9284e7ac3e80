"""Trains a Qwen-Audio: many tasks in one decoder, told apart by the tags that follow the audio (Chu et al., 2023).

    python -m training.qwen_audio --config FILE.toml [--resume]
    python -m training.qwen_audio.corpus --data FOLDER --out FOLDER
    python -m training.qwen_audio.proof

Rows of a manifest (`manifest`) become prompts and labels (`examples`), are drawn so that small tasks are heard too
(`sampling`), and pass with their audio (`audio`) through the native model (`forward`) in the loop (`loop`), which
keeps checkpoints (`checkpoint`), a log and its curves (`journal`), and writes the original layout (`export`).
"""
