/** How long a sound takes to its words: when audio was taken in, against when the words that it became were there. */

const KEPT = 1200;
const SHOWN = 5;

export class Delay {
  /** @type {{until: number, at: number}[]} audio up to `until` (of the session) was taken in `at` (of the page) */
  #taken = [];
  /** @type {number[]} the newest */
  #found = [];

  /** @param {number} untilMs @param {number} nowMs */
  took(untilMs, nowMs) {
    this.#taken.push({ until: untilMs, at: nowMs });
    if (this.#taken.length > KEPT) this.#taken.shift();
  }

  /** Words of audio up to here have come. @param {number} decodedMs @param {number} nowMs */
  got(decodedMs, nowMs) {
    const taken = this.#taken.find(({ until }) => until >= decodedMs);
    if (!taken) return;
    this.#found.push(nowMs - taken.at);
    if (this.#found.length > SHOWN) this.#found.shift();
  }

  /** The median of the newest; null: nothing is known. */
  get ms() {
    if (!this.#found.length) return null;
    return [...this.#found].sort((a, b) => a - b)[this.#found.length >> 1];
  }
}
