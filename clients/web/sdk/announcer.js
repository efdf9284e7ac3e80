/**
 * For screen readers: text that has settled, once, in pieces worth hearing. The captions themselves are not live, as
 * every change of them would be read.
 */

/** @import { Word } from "./types.js" */
/** @import { Utterance } from "./transcript.js" */

import { joinWords } from "./transcript.js";

/** So many stable words are read before an utterance is over. */
const PIECE_WORDS = 8;
/** Nodes that are kept: readers take theirs soon. */
const KEPT = 4;
/** Utterances whose progress is remembered. */
const KEPT_UTTERANCES = 64;

export class Announcer {
  /** @type {Map<number, number>} utterance → words that were read */
  #read = new Map();

  /** @param {HTMLElement} region with aria-live */
  constructor(region) {
    this.region = region;
  }

  /** @param {Utterance} utterance @param {string} [label] of its channel */
  tell({ id, words, final }, label) {
    const read = this.#read.get(id) ?? 0;
    const until = settled(words);
    if (until <= read || (!final && until - read < PIECE_WORDS)) return;
    this.#remember(id, until);
    this.#say(`${label && !read ? `${label}: ` : ""}${joinWords(words.slice(read, until))}`);
  }

  /** What was there before one came is not read. @param {Utterance} utterance */
  skip({ id, words }) {
    this.#remember(id, settled(words));
  }

  /** @param {string} text */
  #say(text) {
    const line = document.createElement("p");
    line.textContent = text;
    this.region.append(line);
    while (this.region.childElementCount > KEPT) this.region.firstElementChild?.remove();
  }

  /** @param {number} id @param {number} count */
  #remember(id, count) {
    this.#read.set(id, count);
    for (const oldest of this.#read.keys()) {
      if (this.#read.size <= KEPT_UTTERANCES) break;
      this.#read.delete(oldest);
    }
  }
}

/** So many words at the beginning do not change any more. @param {readonly Word[]} words */
function settled(words) {
  const open = words.findIndex(({ state }) => state === "tentative");
  return open < 0 ? words.length : open;
}
