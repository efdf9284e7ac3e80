/**
 * One utterance's words in the page. New words appear when their time has come, and corrections at once. What was read
 * does not move: words that stay keep their elements, and lines stay broken where they are when a word before becomes
 * longer or shorter, as far as there is room.
 */

/** @import { Word } from "./types.js" */
/** @import { Cadence } from "./cadence.js" */

import { commonStart, matches } from "./align.js";

/** A space at which a line is not broken. */
const FIRM = "\u00a0";
/** A line that stays together may be so much longer than the others; there is padding beside it. */
const LONGER_PX = 14;

/** @type {WeakMap<Element, Word>} */
const wordOf = new WeakMap();

/** The word that an element shows. @param {Element} element */
export function shownWord(element) {
  return wordOf.get(element) ?? null;
}

export class WordsView {
  /** @type {HTMLSpanElement[]} one for each word that is shown */
  #spans = [];
  /** @type {Word[]} */
  #words = [];
  /** @type {number[]} when each is to be shown */
  #times = [];
  #flat = false;
  #locked = false;

  /** @param {HTMLElement} parent gets the words */
  constructor(parent) {
    this.parent = parent;
  }

  get words() {
    return this.#words;
  }

  /** When the next word is to be shown; null: all are. */
  get nextMs() {
    return this.#times[this.#spans.length] ?? null;
  }

  /**
   * Takes the utterance's words as they are now.
   * @param {Word[]} words
   * @param {Cadence | null} cadence null: all are shown at once
   * @param {number} nowMs
   */
  put(words, cadence, nowMs) {
    const known = commonStart(this.#words, words);
    const first = Math.min(words.length, Math.max(known, this.#spans.length));
    const waiting = words.slice(first).map(({ text }) => text);
    const times = cadence ? cadence.times(waiting, nowMs) : waiting.map(() => nowMs);
    this.#correct(words, known);
    this.#times = [...words.slice(0, first).map((_, index) => this.#times[index] ?? nowMs), ...times];
    this.#words = words;
  }

  /** Shows what is due. @param {number} nowMs */
  show(nowMs) {
    while (this.#spans.length < this.#words.length && this.#times[this.#spans.length] <= nowMs) {
      const word = this.#words[this.#spans.length];
      const span = made(word);
      if (this.#spans.length && !word.glued) this.parent.append(" ");
      this.parent.append(span);
      this.#spans.push(span);
    }
  }

  /** Its words cannot be pointed at any more, and cost one node. */
  flatten() {
    if (this.#flat || this.nextMs !== null) return;
    this.#flat = true;
    this.parent.classList.toggle("lines", this.#locked);
    this.parent.textContent = [...this.parent.childNodes].map((node) => (node.nodeName === "BR" ? "\n" : node.textContent)).join("");
    this.#spans = [];
    this.#times = [];
  }

  /** The room has changed: lines are broken anew. */
  unlock() {
    if (!this.#locked) return;
    this.#locked = false;
    if (this.#flat) this.parent.textContent = (this.parent.textContent ?? "").replaceAll("\n", "").replaceAll(FIRM, " ");
    else this.#space(null);
  }

  /** @param {number} ms of the session's clock; the word that is heard then is marked @param {boolean} on */
  mark(ms, on) {
    this.#spans.forEach((span, index) => {
      const { start_ms: start, end_ms: end } = this.#words[index];
      span.classList.toggle("heard", on && start <= ms && ms < Math.max(end, start + 80));
    });
  }

  /**
   * What is shown, corrected.
   * @param {Word[]} words
   * @param {number} known so many words at the beginning have the same text
   */
  #correct(words, known) {
    const spans = this.#spans;
    const count = spans.length;
    for (let i = 0; i < Math.min(known, count); i++) dress(spans[i], words[i]);
    if (known >= count) return;
    const lines = new Map(spans.map((span) => [span, span.offsetTop]));
    const stay = matches(this.#words.slice(known, count), words.slice(known));
    const corrected = spans.slice(0, known);
    let [at, to] = [known, known];
    /** Words that came or went between two that stay; @param {number} oldEnd @param {number} newEnd */
    const between = (oldEnd, newEnd) => {
      for (; at < oldEnd && to < newEnd; at++, to++) corrected.push(changed(spans[at], words[to]));
      for (; at < oldEnd; at++) spans[at].remove();
      if (oldEnd === count) return; // what comes behind the last word has its time
      for (; to < newEnd; to++) {
        const span = made(words[to]);
        spans[oldEnd].before(span);
        corrected.push(span);
      }
    };
    for (const [i, j] of stay) {
      between(known + i, known + j);
      dress(spans[at++], words[to]);
      corrected.push(spans[known + i]);
      to++;
    }
    between(count, words.length);
    this.#spans = corrected;
    this.#locked = true;
    this.#space(lines);
    if (this.parent.scrollWidth > this.parent.clientWidth + LONGER_PX) this.unlock();
  }

  /**
   * Puts spaces between the words; where lines are given, words that stood in one stay together.
   * @param {Map<Element, number> | null} lines where the words stood
   */
  #space(lines) {
    const words = new Set(/** @type {Node[]} */ (this.#spans));
    for (const node of [...this.parent.childNodes]) if (!words.has(node)) node.remove();
    let line = lines?.get(this.#spans[0]);
    for (const span of this.#spans.slice(1)) {
      const before = line;
      line = lines?.get(span) ?? line;
      if (line !== before) span.before(document.createElement("br"));
      if (!wordOf.get(span)?.glued) span.before(line === before && lines?.has(span) ? FIRM : " ");
    }
  }
}

/** @param {Word} word */
function made(word) {
  const span = document.createElement("span");
  span.append(word.text);
  dress(span, word);
  return span;
}

/** @param {HTMLSpanElement} span @param {Word} word */
function changed(span, word) {
  /** @type {Text} */ (span.firstChild).data = word.text;
  dress(span, word);
  return span;
}

/** @param {HTMLSpanElement} span @param {Word} word */
function dress(span, word) {
  wordOf.set(span, word);
  const name = word.state === "tentative" ? "word tentative" : "word";
  if (span.className !== name) span.className = name;
}
