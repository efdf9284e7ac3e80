/** Transcript messages put together: diffs by `from_word` applied, utterances kept in the order of their begin. */

/** @import { TranscriptMessage, Word } from "./types.js" */

/**
 * @typedef {object} Utterance
 * @property {number} id
 * @property {number} channel
 * @property {Word[]} words
 * @property {boolean} final
 * @property {string | null} language
 */

/** Words that are kept; the oldest utterances go first. About as many hours of speech as a server keeps for viewers. */
const MAX_WORDS = 40000;

export class Transcript {
  /** @type {Map<number, Utterance>} */
  #utterances = new Map();
  #words = 0;

  /** @param {number} [maxWords] */
  constructor(maxWords = MAX_WORDS) {
    this.maxWords = maxWords;
  }

  /**
   * The utterance after the message. One that is final stays as it is.
   * @param {TranscriptMessage} message
   * @returns {Utterance}
   */
  apply(message) {
    const { utterance: id, channel, from_word: from, words, final = false, language = null } = message;
    const known = this.#utterances.get(id);
    if (known?.final) return known;
    const before = known?.words ?? [];
    const utterance = { id, channel, words: [...before.slice(0, from), ...words], final, language };
    this.#utterances.set(id, utterance);
    this.#words += utterance.words.length - before.length;
    for (const [oldest, { words: gone }] of this.#utterances) {
      if (this.#words <= this.maxWords || oldest === id) break;
      this.#utterances.delete(oldest);
      this.#words -= gone.length;
    }
    return utterance;
  }

  /** Those with words, by the time at which they begin. */
  get utterances() {
    return [...this.#utterances.values()]
      .filter(({ words }) => words.length)
      .sort((a, b) => a.words[0].start_ms - b.words[0].start_ms || a.id - b.id);
  }

  /** What is shown and does not change any more. */
  get finals() {
    return this.utterances.filter(({ final }) => final);
  }

  clear() {
    this.#utterances.clear();
    this.#words = 0;
  }
}

/**
 * Words as text: a space before each, but for the first and for glued ones.
 * @param {readonly {text: string, glued?: boolean}[]} words
 */
export function joinWords(words) {
  return words.reduce((text, word) => text + (text && !word.glued ? " " : "") + word.text, "");
}
