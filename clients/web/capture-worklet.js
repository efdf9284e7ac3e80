/**
 * Runs on the audio thread: mono float blocks of 128 samples in, Int16Array chunks of `chunkSamples` out, as messages
 * {samples, level}; level is the chunk's root mean square in dB below full scale. Any message to it ends it after one
 * last chunk.
 */
class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.chunk = new Int16Array(processorOptions.chunkSamples);
    this.filled = 0;
    this.power = 0;
    this.running = true;
    this.port.onmessage = () => {
      this.running = false;
      this.flush();
      this.port.postMessage(null);
    };
  }

  process([input]) {
    const channels = input.length;
    if (this.running && channels) {
      for (let i = 0; i < input[0].length; i++) {
        let sample = 0;
        for (let c = 0; c < channels; c++) sample += input[c][i];
        sample = Math.max(-1, Math.min(1, sample / channels));
        this.power += sample * sample;
        this.chunk[this.filled++] = Math.round(sample * 32767);
        if (this.filled === this.chunk.length) this.flush();
      }
    }
    return this.running;
  }

  flush() {
    if (!this.filled) return;
    const samples = this.chunk.slice(0, this.filled);
    const level = 10 * Math.log10(this.power / this.filled + 1e-9);
    this.port.postMessage({ samples, level }, [samples.buffer]);
    this.filled = 0;
    this.power = 0;
  }
}

registerProcessor("tympan-capture", Capture);
