"""moonshine-voice in process, its own tiny model: one Transcriber, a stream for each client, updates each 0.5 s."""

import threading
import time
from pathlib import Path

import moonshine_voice
from moonshine_voice import ModelArch, Transcriber, TranscriptEventListener
from streams import paced, read_task, tell


class Listener(TranscriptEventListener):
    def __init__(self, stream):
        self.stream = stream
        self.lines = {}

    def note(self, event):
        line = event.line
        self.lines[line.line_id] = (line.start_time + line.duration, line.text)
        until = max(end for end, _ in self.lines.values())
        text = " ".join(text for _, text in self.lines.values())
        tell(said=[self.stream, time.perf_counter(), until * 1000, text])

    def on_line_started(self, event):
        self.note(event)

    def on_line_text_changed(self, event):
        self.note(event)

    def on_line_completed(self, event):
        self.note(event)


def main():
    clips, offsets, chunk_s = read_task()
    model = Path(moonshine_voice.__file__).parent / "assets" / "tiny-en"
    transcriber = Transcriber(model_path=str(model), model_arch=ModelArch.TINY, update_interval=0.5)
    tell(ready=True)

    def client(index):
        stream = transcriber.create_stream(update_interval=0.5)
        stream.add_listener(Listener(index))
        stream.start()
        paced(index, clips[index], offsets[index], chunk_s, lambda piece: stream.add_audio(piece.tolist(), 16_000))
        stream.stop()

    threads = [threading.Thread(target=client, args=(index,)) for index in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
