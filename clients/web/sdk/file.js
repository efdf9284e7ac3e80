/** A recording as a source, decoded by the browser. */

import { SourceError } from "./errors.js";
import { SAMPLE_RATE, Source } from "./source.js";

/** @import { Sink } from "./source.js" */

const CHUNK_S = 0.05;
const FAST_CHUNK_S = 0.5;

/**
 * @typedef {object} FileSettings
 * @property {boolean} [realtime] false: as fast as the server takes it; true: at its own speed
 * @property {boolean} [audible] play it meanwhile; at its own speed
 * @property {boolean} [split] true: the two channels of a stereo file stay apart
 * @property {string[]} [labels] of the two channels
 */

/** The whole of it is held in memory: 230 MB for an hour of one channel. */
export class FileSource extends Source {
  /** @type {AudioBuffer | null} */
  #buffer = null;
  #running = true;

  /** @param {File | Blob} file @param {FileSettings} [settings] */
  constructor(file, settings = {}) {
    super();
    this.file = file;
    this.settings = settings;
  }

  get name() {
    return "name" in this.file ? this.file.name : "This recording";
  }

  get durationMs() {
    return this.#buffer ? this.#buffer.duration * 1000 : 0;
  }

  /** @override */
  async open() {
    try {
      const decoder = new OfflineAudioContext(1, 1, SAMPLE_RATE);
      this.#buffer = await decoder.decodeAudioData(await this.file.arrayBuffer());
    } catch {
      throw new SourceError("unreadable", `${this.name} cannot be read as audio by this browser.`);
    }
    if (!this.#buffer.length) throw new SourceError("silent", `${this.name} has no sound in it.`);
    if (!this.settings.split || this.#buffer.numberOfChannels !== 2) return;
    this.format = { ...this.format, channels: 2, labels: this.settings.labels ?? null };
  }

  /** @override @param {Sink} sink */
  async start(sink) {
    const buffer = /** @type {AudioBuffer} */ (this.#buffer);
    const { audible = false, realtime = audible } = this.settings;
    const channels = this.format.channels === 2 ? [0, 1].map((c) => buffer.getChannelData(c)) : [mixed(buffer)];
    const player = audible ? play(buffer) : null;
    const begin = performance.now();
    const step = Math.round(SAMPLE_RATE * (realtime ? CHUNK_S : FAST_CHUNK_S));
    for (let at = 0; at < buffer.length && this.#running; at += step) {
      const chunk = channels.map((samples) => samples.subarray(at, at + step));
      await this.give(sink, interleaved(chunk), chunk.map(level));
      if (realtime) {
        const due = begin + (at + chunk[0].length) / SAMPLE_RATE * 1000;
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      }
    }
    player?.close();
    this.ended();
  }

  /** @override */
  stop() {
    this.#running = false;
  }
}

/** @param {AudioBuffer} buffer */
function play(buffer) {
  const context = new AudioContext();
  const node = new AudioBufferSourceNode(context, { buffer });
  node.connect(context.destination);
  node.start();
  return context;
}

/** @param {AudioBuffer} buffer */
function mixed(buffer) {
  if (buffer.numberOfChannels === 1) return buffer.getChannelData(0);
  const mix = new Float32Array(buffer.length);
  for (let c = 0; c < buffer.numberOfChannels; c++) {
    const channel = buffer.getChannelData(c);
    for (let i = 0; i < mix.length; i++) mix[i] += channel[i] / buffer.numberOfChannels;
  }
  return mix;
}

/** @param {Float32Array[]} channels */
function interleaved(channels) {
  const samples = new Int16Array(channels[0].length * channels.length);
  channels.forEach((channel, c) => {
    for (let i = 0; i < channel.length; i++) {
      samples[i * channels.length + c] = Math.round(Math.max(-1, Math.min(1, channel[i])) * 32767);
    }
  });
  return samples;
}

/** In dB below full scale. @param {Float32Array} samples */
function level(samples) {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  return 10 * Math.log10(power / samples.length + 1e-9);
}
