/**
 * One utterance's words in the page. What has not changed keeps its element, so nothing that was read moves; new words
 * appear when their time has come, and corrections at once.
 */

/** @import { Word } from "./types.js" */
/** @import { Cadence } from "./cadence.js" */

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
    const shown = this.#spans.length;
    const waiting = words.slice(Math.max(known, shown));
    const kept = this.#times.slice(0, words.length - waiting.length);
    while (kept.length < words.length - waiting.length) kept.push(nowMs);
    const times = cadence ? cadence.times(waiting.map(({ text }) => text), nowMs) : waiting.map(() => nowMs);
    this.#correct(words, known);
    this.#words = words;
    this.#times = [...kept, ...times];
  }

  /** Shows what is due. True: something was. @param {number} nowMs */
  show(nowMs) {
    const before = this.#spans.length;
    while (this.#spans.length < this.#words.length && this.#times[this.#spans.length] <= nowMs) {
      this.#append(this.#words[this.#spans.length]);
    }
    return this.#spans.length > before;
  }

  /** Its words cannot be pointed at any more, and cost one node. */
  flatten() {
    if (this.#flat || this.nextMs !== null) return;
    this.#flat = true;
    this.parent.textContent = this.parent.textContent;
    this.#spans = [];
    this.#times = [];
  }

  /** @param {number} ms of the session's clock; the word that is heard then is marked @param {boolean} on */
  mark(ms, on) {
    this.#spans.forEach((span, index) => {
      const { start_ms: start, end_ms: end } = this.#words[index];
      span.classList.toggle("heard", on && start <= ms && ms < Math.max(end, start + 80));
    });
  }

  /**
   * What is shown, corrected: the words of the old end that are the new end too keep their elements.
   * @param {Word[]} words
   * @param {number} known so many words at the beginning have the same text
   */
  #correct(words, known) {
    const old = this.#words.slice(0, this.#spans.length);
    const count = Math.min(old.length, words.length);
    old.slice(0, Math.min(known, count)).forEach((_, index) => this.#dress(index, words[index]));
    if (known >= old.length) return;
    const tail = commonEnd(old.slice(known), words.slice(known));
    const from = known;
    const oldUntil = old.length - tail;
    const newUntil = words.length - tail;
    const changed = Math.min(oldUntil, newUntil) - from;
    for (let i = from; i < from + changed; i++) this.#replace(i, words[i]);
    for (const span of this.#spans.splice(from + changed, oldUntil - from - changed)) remove(span);
    if (tail) {
      for (let i = from + changed; i < newUntil; i++) this.#append(words[i], i);
      for (let i = newUntil; i < words.length; i++) this.#dress(i, words[i]);
    }
  }

  /** @param {Word} word @param {number} [at] */
  #append(word, at = this.#spans.length) {
    const span = document.createElement("span");
    span.append(word.text);
    const next = this.#spans[at] ?? null;
    this.parent.insertBefore(span, next ? spaceBefore(next) ?? next : null);
    if (at > 0 && !word.glued) span.before(" ");
    if (next && !wordOf.get(next)?.glued && !spaceBefore(next)) next.before(" ");
    this.#spans.splice(at, 0, span);
    this.#dress(at, word);
  }

  /** @param {number} index @param {Word} word */
  #replace(index, word) {
    const span = this.#spans[index];
    /** @type {Text} */ (span.firstChild).data = word.text;
    const space = spaceBefore(span);
    if (word.glued) space?.remove();
    else if (index > 0 && !space) span.before(" ");
    this.#dress(index, word);
  }

  /** @param {number} index @param {Word} word */
  #dress(index, word) {
    const span = this.#spans[index];
    if (!span) return;
    wordOf.set(span, word);
    const name = word.state === "tentative" ? "word tentative" : "word";
    if (span.className !== name) span.className = name;
  }
}

/** @param {HTMLElement} span */
function remove(span) {
  spaceBefore(span)?.remove();
  span.remove();
}

/** @param {Node} span @returns {ChildNode | null} */
function spaceBefore(span) {
  const before = span.previousSibling;
  return before instanceof Text ? before : null;
}

/** @param {Word} a @param {Word} b */
function same(a, b) {
  return a.text === b.text && (a.glued ?? false) === (b.glued ?? false);
}

/** @param {Word[]} old @param {Word[]} words */
function commonStart(old, words) {
  let length = 0;
  while (length < old.length && length < words.length && same(old[length], words[length])) length++;
  return length;
}

/** @param {Word[]} old @param {Word[]} words */
function commonEnd(old, words) {
  let length = 0;
  while (
    length < old.length && length < words.length && same(old[old.length - 1 - length], words[words.length - 1 - length])
  ) length++;
  return length;
}
