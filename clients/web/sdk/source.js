/** What every source of sound has. */

/** @import { SourceFormat } from "./types.js" */

/** At which speech is heard; nothing above 8 kHz matters to the models. */
export const SAMPLE_RATE = 16000;

/** @typedef {(samples: Int16Array) => unknown} Sink may return a promise, for which a file waits */

/**
 * The order of calls: `open`, which asks whom it must and rejects with a SourceError; `start`; `stop`. Each piece of
 * audio goes to the sink and is told as `chunk`, with {samples, levels} as `detail`: int16, interleaved where there are
 * two channels, and the level of each channel in dB below full scale. `end` comes once, last; its `detail.error` says why
 * it ended by itself.
 */
export class Source extends EventTarget {
  /** @type {SourceFormat} of what the sink gets, once it is open */
  format = { sampleRate: SAMPLE_RATE, channels: 1, labels: null };

  async open() {}

  /** @param {Sink} sink */
  start(sink) {
    throw new Error(`not a source: ${sink}`);
  }

  stop() {}

  /** @param {Sink} sink @param {Int16Array} samples @param {number[]} levels */
  give(sink, samples, levels) {
    this.dispatchEvent(new CustomEvent("chunk", { detail: { samples, levels } }));
    return sink(samples);
  }

  /** @param {Error | null} [error] */
  ended(error = null) {
    this.dispatchEvent(new CustomEvent("end", { detail: { error } }));
  }
}
