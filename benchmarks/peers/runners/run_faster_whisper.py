"""faster-whisper as most tutorials use it live: the audio since the last pause is transcribed again and again."""

import sys
import threading
import time

import numpy as np
from faster_whisper import WhisperModel
from streams import paced, read_task, tell

LONGEST = 28 * 16_000
EVERY = 8_000


def main():
    clips, offsets, chunk_s = read_task()
    model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8")
    tell(ready=True)
    buffers = [[np.zeros(0, np.float32), 0, ""] for _ in clips]  # audio not settled, samples settled, text settled
    changed = threading.Condition()
    running = [True] * len(clips)

    def client(index):
        def take(piece):
            with changed:
                buffers[index][0] = np.concatenate((buffers[index][0], piece))
                changed.notify()

        paced(index, clips[index], offsets[index], chunk_s, take)
        running[index] = False
        with changed:
            changed.notify()

    threads = [threading.Thread(target=client, args=(index,)) for index in range(len(clips))]
    for thread in threads:
        thread.start()
    seen = [0] * len(clips)
    while True:
        with changed:
            ahead = [buffers[i][1] + len(buffers[i][0]) - seen[i] for i in range(len(clips))]
            due = [i for i in range(len(clips)) if ahead[i] >= EVERY or (ahead[i] and not running[i])]
            if not due:
                if not any(running):
                    break
                changed.wait(0.1)
                continue
            index = max(due, key=lambda i: ahead[i])
            audio, settled, before = buffers[index]
        segments, _ = model.transcribe(audio, language="en", beam_size=1, condition_on_previous_text=False)
        text = " ".join(segment.text.strip() for segment in segments)
        seen[index] = settled + len(audio)
        tell(said=[index, time.perf_counter(), seen[index] / 16, f"{before} {text}"])
        if len(audio) >= LONGEST:
            with changed:
                buffers[index] = [buffers[index][0][len(audio) :], seen[index], f"{before} {text}"]
    for thread in threads:
        thread.join()


main()
