"""Makes the clips of this folder from the texts below with two synthetic voices, and the manifest with them.

    python tests/data/make_clips.py --piper PIPER --voice VOICE.onnx --flite FLITE --out tests/data

PIPER and FLITE are the two speech synthesisers' commands, VOICE.onnx a Piper voice with its `.onnx.json` beside it.
Piper's prosody has a random part: a new run gives the same words in other samples, so tests must not depend on
sample-exact positions in these clips. See README.md for the licences.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16_000
TELEPHONE_RATE = 8_000
PEAK = 0.7  # of full scale, the same for every clip
EDGE_S = 0.25  # silence before the first word and after the last
ROOM_NOISE = 2e-4  # rms of the noise under the speech, about -74 dBFS: real rooms are never digital silence

Voice = Literal["joe", "slt"]


@dataclass(frozen=True)
class Part:
    """One spoken passage."""

    text: str
    voice: Voice = "joe"
    channel: int = 0
    pause_s: float = 0.35
    """Silence after it."""


@dataclass(frozen=True)
class Clip:
    name: str
    parts: tuple[Part, ...]
    channels: int = 1
    telephone: bool = False
    """8 kHz mu-law instead of 16 kHz FLAC."""


CLIPS = (
    Clip(
        "demo.flac",
        (
            Part("Hello, and welcome to this demonstration."),
            Part("Every word you hear is on its way to becoming a caption."),
            Part("At first a word is only a guess, and it is shown in a lighter tone.", pause_s=0.9),
            Part("A moment later it settles, and it stays."),
            Part("The microphone never waits, and neither should the reader."),
        ),
    ),
    Clip(
        "prose.flac",
        (
            Part("The lighthouse keeper climbed the stairs before sunrise, as he had done for thirty years."),
            Part("Below him the sea was quiet, and a single fishing boat was heading home."),
        ),
    ),
    Clip(
        "numbers.flac",
        (
            Part("The train to the coast leaves at seven forty five from platform twelve."),
            Part("A ticket costs twenty three dollars, and the journey takes two hours and ten minutes."),
        ),
    ),
    Clip(
        "pause.flac",
        (
            Part("Please wait a moment while I look for your order.", pause_s=1.6),
            Part("Thank you, I have found it, and the parcel left our warehouse this morning."),
        ),
    ),
    Clip("question.flac", (Part("Could you tell me what the weather will be like tomorrow afternoon?"),)),
    Clip(
        "long.flac",
        (
            Part("A good garden begins with the soil, and a good soil begins with patience.", pause_s=0.3),
            Part(
                "In the first year, you dig, you remove the stones, and you watch where the water stands after rain.",
                pause_s=0.3,
            ),
            Part(
                "In the second year, you plant a few strong things that forgive mistakes, such as beans and mint.",
                pause_s=0.3,
            ),
            Part(
                "By the third year, the worms have done most of the work, and the earth is dark and smells of leaves.",
                pause_s=0.3,
            ),
            Part(
                "Neighbors will stop at the fence and ask for advice, and you will tell them what you were told.",
                pause_s=0.3,
            ),
            Part(
                "Water in the evening, cut the roses in the winter, and leave one corner wild for the birds.",
                pause_s=0.3,
            ),
            Part("Nothing else about it is a secret, although every gardener believes that one is left.", pause_s=0.3),
        ),
    ),
    Clip(
        "telephone.wav",
        (
            Part("Thank you for calling the city library.", "slt"),
            Part("Our opening hours are nine to six, from Monday to Saturday.", "slt"),
        ),
        telephone=True,
    ),
    Clip(
        "call.flac",
        (
            Part("Good morning, this is the help desk. How can I help you?", "joe", 0, 0.5),
            Part("Hello, my internet connection stopped working last night.", "slt", 1, 0.5),
            Part("I am sorry to hear that. Is the light on the box green or red?", "joe", 0, 0.5),
            Part("It is red, and I have already restarted it.", "slt", 1, 0.5),
            Part("Then I will send a technician to you tomorrow.", "joe", 0, 0.4),
        ),
        channels=2,
    ),
)


@dataclass(frozen=True)
class Voices:
    piper: str
    piper_model: str
    flite: str

    def say(self, part: Part) -> np.ndarray:
        """The passage as float32 mono in [-1, 1] at SAMPLE_RATE, without the silence around it."""
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "part.wav")
            if part.voice == "joe":
                command = [self.piper, "-m", self.piper_model, "-f", path]
                subprocess.run(command, input=part.text.encode(), check=True, stderr=subprocess.DEVNULL)
            else:
                subprocess.run([self.flite, "-voice", part.voice, "-t", part.text, "-o", path], check=True)
            audio, rate = soundfile.read(path, dtype="float32")
        loud = np.flatnonzero(np.abs(audio) > 0.01 * np.abs(audio).max())
        return soxr.resample(audio[loud[0] : loud[-1] + 1], rate, SAMPLE_RATE)


def silence(seconds: float, channels: int) -> np.ndarray:
    return np.zeros((round(seconds * SAMPLE_RATE), channels), np.float32)


def render(clip: Clip, voices: Voices) -> np.ndarray:
    """The clip as float32 (samples, channels) at SAMPLE_RATE."""
    pieces = [silence(EDGE_S, clip.channels)]
    for part in clip.parts:
        speech = voices.say(part)
        block = np.zeros((len(speech), clip.channels), np.float32)
        block[:, part.channel] = speech / np.abs(speech).max() * PEAK
        pieces += [block, silence(part.pause_s, clip.channels)]
    pieces.append(silence(EDGE_S, clip.channels))
    audio = np.concatenate(pieces)
    return audio + np.random.default_rng(0).normal(0.0, ROOM_NOISE, audio.shape).astype(np.float32)


def write(clip: Clip, audio: np.ndarray, folder: Path) -> None:
    if clip.telephone:
        audio = soxr.resample(audio, SAMPLE_RATE, TELEPHONE_RATE)
        soundfile.write(folder / clip.name, audio, TELEPHONE_RATE, subtype="ULAW")
    else:
        soundfile.write(folder / clip.name, audio, SAMPLE_RATE, subtype="PCM_16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--piper", default="piper")
    parser.add_argument("--voice", required=True)
    parser.add_argument("--flite", default="flite")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="*", help="only these clips; default all")
    args = parser.parse_args()
    voices = Voices(args.piper, args.voice, args.flite)
    for clip in CLIPS:
        if not args.names or clip.name in args.names:
            audio = render(clip, voices)
            write(clip, audio, args.out)
            print(f"{clip.name}: {len(audio) / SAMPLE_RATE:.1f} s")
    with open(args.out / "manifest.tsv", "w", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        rows.writerow(["path", "transcript"])
        rows.writerows([clip.name, " ".join(part.text for part in clip.parts)] for clip in CLIPS)
    with open(args.out / "call.tsv", "w", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        rows.writerow(["channel", "transcript"])
        call = next(clip for clip in CLIPS if clip.channels == 2)
        rows.writerows([part.channel, part.text] for part in call.parts)


if __name__ == "__main__":
    main()
