/**
 * Runs on the audio thread: blocks of 128 float samples in, Int16Array chunks at `outputRate` out, as messages
 * {samples, levels}. With one channel all inputs are mixed; with two the first two are interleaved. `levels` are root
 * mean squares in dB below full scale, one per channel. Any message to it ends it after one last chunk, then comes null.
 *
 * It stands alone, since not every browser lets worklets import.
 */

/** Zero crossings of the sinc on each side. */
const ZEROS = 24;
/** Of the lower Nyquist frequency: what is above begins to be cut. */
const ROLL_OFF = 0.94;
const KAISER_BETA = 8.6;

/**
 * A streaming resampler: windowed sinc, one filter for each phase. What it gives does not depend on how its input is
 * cut. The first sample out stands at the place of the first one in.
 */
export class Resampler {
  /** @param {number} fromRate @param {number} toRate in Hz, whole */
  constructor(fromRate, toRate) {
    const common = greatestCommonDivisor(fromRate, toRate);
    this.up = toRate / common;
    this.down = fromRate / common;
    const cutoff = Math.min(1, toRate / fromRate) * ROLL_OFF;
    this.half = Math.ceil(ZEROS / cutoff);
    this.taps = 2 * this.half;
    this.filters = filters(this.up, this.half, cutoff);
    /** Input around the next output; the half before the first sample is silence. */
    this.held = new Float32Array(this.half - 1);
    this.phase = 0;
  }

  /** @param {Float32Array} input @returns {Float32Array} */
  push(input) {
    if (this.up === this.down) return input;
    const held = new Float32Array(this.held.length + input.length);
    held.set(this.held);
    held.set(input, this.held.length);
    const output = new Float32Array(Math.ceil(input.length * this.up / this.down) + 1);
    let at = 0;
    let made = 0;
    while (at + this.taps <= held.length) {
      const first = this.phase * this.taps;
      let sum = 0;
      for (let tap = 0; tap < this.taps; tap++) sum += held[at + tap] * this.filters[first + tap];
      output[made++] = sum;
      this.phase += this.down;
      at += Math.floor(this.phase / this.up);
      this.phase %= this.up;
    }
    this.held = held.slice(at);
    return output.subarray(0, made);
  }
}

/** @param {number} up @param {number} half @param {number} cutoff of the input's Nyquist frequency */
function filters(up, half, cutoff) {
  const taps = 2 * half;
  const all = new Float32Array(up * taps);
  for (let phase = 0; phase < up; phase++) {
    for (let tap = 0; tap < taps; tap++) {
      const x = tap - (half - 1) - phase / up;
      const inside = 1 - (x / half) ** 2;
      if (inside <= 0) continue;
      const angle = Math.PI * x * cutoff;
      const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
      all[phase * taps + tap] = cutoff * sinc * bessel(KAISER_BETA * Math.sqrt(inside)) / bessel(KAISER_BETA);
    }
  }
  return all;
}

/** The modified Bessel function of the first kind, order 0. @param {number} x */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-10; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** @param {number} a @param {number} b @returns {number} */
function greatestCommonDivisor(a, b) {
  return b ? greatestCommonDivisor(b, a % b) : a;
}

/** Float blocks of all channels to chunks of interleaved Int16Array. */
export class Chunker {
  /**
   * @param {{inputRate: number, outputRate: number, channels: number, chunkSamples: number}} format
   * @param {(samples: Int16Array, levels: number[]) => void} give
   */
  constructor({ inputRate, outputRate, channels, chunkSamples }, give) {
    this.channels = channels;
    this.give = give;
    this.resamplers = Array.from({ length: channels }, () => new Resampler(inputRate, outputRate));
    this.chunk = new Int16Array(chunkSamples * channels);
    this.filled = 0;
    this.power = new Float64Array(channels);
  }

  /** @param {Float32Array[]} block one array per channel of the input */
  push(block) {
    const wanted = this.channels === 1 ? [mixed(block)] : [block[0], block[1] ?? block[0]];
    const resampled = wanted.map((samples, channel) => this.resamplers[channel].push(samples));
    for (let i = 0; i < resampled[0].length; i++) {
      for (let channel = 0; channel < this.channels; channel++) {
        const sample = Math.max(-1, Math.min(1, resampled[channel][i]));
        this.power[channel] += sample * sample;
        this.chunk[this.filled++] = Math.round(sample * 32767);
      }
      if (this.filled === this.chunk.length) this.flush();
    }
  }

  flush() {
    if (!this.filled) return;
    const frames = this.filled / this.channels;
    const levels = Array.from(this.power, (power) => 10 * Math.log10(power / frames + 1e-9));
    this.give(this.chunk.slice(0, this.filled), levels);
    this.filled = 0;
    this.power.fill(0);
  }
}

/** @param {Float32Array[]} block */
function mixed(block) {
  if (block.length === 1) return block[0];
  return block[0].map((_, i) => block.reduce((sum, channel) => sum + channel[i], 0) / block.length);
}

if (typeof AudioWorkletProcessor !== "undefined") {
  registerProcessor("tympan-capture", class extends AudioWorkletProcessor {
    /** @param {{processorOptions: {outputRate: number, channels: number, chunkSamples: number}}} options */
    constructor({ processorOptions }) {
      super();
      this.running = true;
      this.chunker = new Chunker({ inputRate: sampleRate, ...processorOptions }, (samples, levels) => {
        this.port.postMessage({ samples, levels }, [samples.buffer]);
      });
      this.port.onmessage = () => {
        this.running = false;
        this.chunker.flush();
        this.port.postMessage(null);
      };
    }

    /** @param {Float32Array[][]} inputs */
    process([input]) {
      if (this.running && input.length) this.chunker.push(input);
      return this.running;
    }
  });
}
