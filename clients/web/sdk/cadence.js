/**
 * When a word is shown that has come: one after another, not a handful at once. Words flow at a reading speed, and none
 * waits longer than a bound. No clock of its own.
 */

/** What adults read with ease in subtitles (Netflix's guide: 20 characters per second). */
const CHARS_PER_SECOND = 20;

export class Cadence {
  #last = 0;

  /**
   * @param {number} maxDelayMs no word is held back longer
   * @param {number} [charsPerSecond]
   */
  constructor(maxDelayMs, charsPerSecond = CHARS_PER_SECOND) {
    this.maxDelayMs = maxDelayMs;
    this.charsPerSecond = charsPerSecond;
  }

  /**
   * When each of these words is shown: they came now, and belong together. Never before those that came earlier. Where
   * all of them do not fit in the bound they share it evenly.
   * @param {readonly string[]} words
   * @param {number} nowMs
   */
  times(words, nowMs) {
    const bound = nowMs + this.maxDelayMs;
    let at = Math.min(Math.max(this.#last, nowMs), bound);
    const lengths = words.map((word) => (word.length + 1) / this.charsPerSecond * 1000);
    const needed = lengths.slice(0, -1).reduce((sum, length) => sum + length, 0);
    const scale = needed > 0 ? Math.min(1, (bound - at) / needed) : 1;
    const times = lengths.map((length) => {
      const shown = at;
      at += length * scale;
      return shown;
    });
    if (times.length) this.#last = Math.min(at, bound);
    return times;
  }
}
