/** The newest audio of a session, kept in the page, to hear words again. It goes nowhere. */

const KEPT_S = 60;

export class AudioMemory {
  #first = 0;
  /** @type {Int16Array} */
  #ring;
  #length = 0;
  /** @type {AudioContext | null} */
  #playing = null;

  /** @param {number} sampleRate @param {number} [channels] they are mixed */
  constructor(sampleRate, channels = 1) {
    this.sampleRate = sampleRate;
    this.channels = channels;
    this.#ring = new Int16Array(KEPT_S * sampleRate);
  }

  /** From where on it has audio, on the session's clock. */
  get fromMs() {
    return this.#first / this.sampleRate * 1000;
  }

  get untilMs() {
    return (this.#first + this.#length) / this.sampleRate * 1000;
  }

  /** Begins anew at a place of the clock: what comes next stands there. @param {number} atMs */
  moveTo(atMs) {
    this.#first = Math.round(atMs / 1000 * this.sampleRate);
    this.#length = 0;
  }

  /** @param {Int16Array} samples interleaved */
  keep(samples) {
    const size = this.#ring.length;
    for (let at = 0; at < samples.length; at += this.channels) {
      let sum = 0;
      for (let c = 0; c < this.channels; c++) sum += samples[at + c];
      this.#ring[(this.#first + this.#length) % size] = sum / this.channels;
      if (this.#length < size) this.#length++;
      else this.#first++;
    }
  }

  /** Floats of -1 to 1; null where it is gone. @param {number} startMs @param {number} endMs */
  clip(startMs, endMs) {
    const start = Math.max(0, Math.round(startMs / 1000 * this.sampleRate));
    const end = Math.min(Math.round(endMs / 1000 * this.sampleRate), this.#first + this.#length);
    if (start < this.#first || end <= start) return null;
    return Float32Array.from({ length: end - start }, (_, i) => this.#ring[(start + i) % this.#ring.length] / 32768);
  }

  /**
   * Plays a span; what played before ends. Settles when it is over: false where it is gone from memory.
   * @param {number} startMs
   * @param {number} endMs
   */
  async play(startMs, endMs) {
    this.hush();
    const clip = this.clip(startMs, endMs);
    if (!clip) return false;
    const context = this.#playing = new AudioContext();
    const buffer = new AudioBuffer({ length: clip.length, sampleRate: this.sampleRate });
    buffer.copyToChannel(clip, 0);
    const node = new AudioBufferSourceNode(context, { buffer });
    node.connect(context.destination);
    node.start();
    await new Promise((resolve) => { node.onended = resolve; });
    if (this.#playing === context) this.hush();
    return true;
  }

  hush() {
    this.#playing?.close();
    this.#playing = null;
  }
}
