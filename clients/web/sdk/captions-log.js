/**
 * The captions as elements: groups in the order of time, each with a cell for every channel. Utterances of two channels
 * that overlap share a group, so that one that grows pushes nothing that stands beside it. Above an utterance stands a
 * line with its time, and with chips of what is heard meanwhile: they come without moving any text.
 */

/** @import { Utterance } from "./transcript.js" */
/** @import { Cadence } from "./cadence.js" */
/** @import { Chip } from "./sounds.js" */

import { clock } from "./sounds.js";
import { WordsView } from "./words-view.js";

const MAX_CHIPS = 400;

/**
 * @typedef {object} Block an utterance in the page
 * @property {number} id
 * @property {number} channel
 * @property {HTMLElement} element
 * @property {HTMLElement} chips
 * @property {WordsView} view
 * @property {boolean} open
 * @property {number} end of its words, milliseconds
 *
 * @typedef {object} Group
 * @property {HTMLElement} element
 * @property {number} start
 * @property {HTMLElement[]} cells one per channel
 * @property {Block[]} blocks none: it has chips alone
 */

export class CaptionsLog {
  /** @type {string[]} of the channels */
  labels = [];
  channels = 1;
  /** @type {Group[]} */
  #groups = [];
  /** @type {Map<number, Block>} */
  #blocks = new Map();
  /** @type {Map<string, HTMLElement>} */
  #chips = new Map();
  /** @type {Set<Block>} with words that are still to be shown */
  #waiting = new Set();

  /** @param {HTMLElement} root @param {number} maxUtterances */
  constructor(root, maxUtterances) {
    this.root = root;
    this.maxUtterances = maxUtterances;
  }

  get empty() {
    return !this.#groups.length;
  }

  /** @param {Utterance} utterance @param {Cadence | null} cadence @param {number} nowMs */
  put(utterance, cadence, nowMs) {
    const { id, words, final } = utterance;
    const block = this.#blocks.get(id) ?? (words.length ? this.#add(utterance) : null);
    if (!block) return;
    block.view.put(words, cadence, nowMs);
    block.view.show(nowMs);
    block.end = Math.max(block.end, words.at(-1)?.end_ms ?? 0);
    block.open = !final;
    block.element.classList.toggle("open", !final);
    if (block.view.nextMs !== null) this.#waiting.add(block);
    if (final && !words.length) this.#drop(block);
  }

  /** Shows words that are due. When the next one is, in the same milliseconds; null: there is none. @param {number} nowMs */
  show(nowMs) {
    let next = null;
    for (const block of this.#waiting) {
      block.view.show(nowMs);
      const at = block.view.nextMs;
      if (at === null) this.#waiting.delete(block);
      else next = Math.min(at, next ?? at);
    }
    return next;
  }

  /** @param {Chip} chip */
  chip(chip) {
    const known = this.#chips.get(chip.key);
    const element = known ?? document.createElement("span");
    if (!known) {
      this.#chips.set(chip.key, element);
      for (const oldest of this.#chips.keys()) {
        if (this.#chips.size <= MAX_CHIPS) break;
        this.#chips.delete(oldest);
      }
      element.append(document.createElement("b"), " ", document.createElement("time"));
      this.#placeFor(chip).append(element);
    }
    const [name, time] = element.children;
    element.className = `chip ${chip.kind}${chip.live ? " live" : ""}${chip.end === null ? "" : " span"}`;
    element.part.value = "chip";
    name.textContent = chip.text;
    time.textContent = chip.end === null || clock(chip.end) === clock(chip.start)
      ? clock(chip.start)
      : `${clock(chip.start)}–${clock(chip.end)}`;
  }

  /** A sentence of its own in the captions. @param {string} text */
  notice(text) {
    const line = document.createElement("p");
    line.className = "notice";
    line.textContent = text;
    this.#append({ element: line, start: this.#groups.at(-1)?.start ?? 0, cells: [], blocks: [] });
  }

  /** Utterances that end before this become plain text. @param {number} ms */
  flattenBefore(ms) {
    for (const block of this.#blocks.values()) if (!block.open && block.end < ms) block.view.flatten();
  }

  /** @param {number} ms of the session's clock; -1: nothing is heard */
  mark(ms) {
    for (const { view } of this.#blocks.values()) view.mark(ms, ms >= 0);
  }

  /** The room has changed: lines are broken anew. */
  unlock() {
    for (const { view } of this.#blocks.values()) view.unlock();
  }

  clear() {
    this.root.replaceChildren();
    this.#groups = [];
    this.#blocks.clear();
    this.#chips.clear();
    this.#waiting.clear();
  }

  /** @param {Utterance} utterance */
  #add({ id, channel, words }) {
    const start = words[0].start_ms;
    const group = this.#groupFor(channel, start);
    const element = document.createElement("p");
    element.className = "utterance";
    element.part.value = "utterance";
    const meta = document.createElement("span");
    meta.className = "meta";
    const time = document.createElement("time");
    time.textContent = clock(start);
    meta.append(time);
    const label = this.labels[channel];
    if (label) {
      const who = document.createElement("span");
      who.className = "who";
      who.textContent = label;
      meta.append(" ", who);
    }
    const chips = document.createElement("span");
    chips.className = "chips";
    meta.append(" ", chips);
    const text = document.createElement("span");
    text.className = "text";
    element.append(meta, " ", text);
    element.classList.add(`channel-${channel}`);
    group.cells[channel].append(element);
    /** @type {Block} */
    const block = { id, channel, element, chips, view: new WordsView(text), open: true, end: start };
    group.blocks.push(block);
    this.#blocks.set(id, block);
    this.#bound();
    return block;
  }

  /** @param {number} channel @param {number} start */
  #groupFor(channel, start) {
    const last = this.#groups.at(-1);
    if (last && start >= last.start && last.blocks.some((block) => block.open && block.channel !== channel)) return last;
    const element = document.createElement("div");
    element.className = "group";
    const cells = Array.from({ length: Math.max(this.channels, channel + 1) }, () => {
      const cell = document.createElement("div");
      cell.className = "cell";
      return cell;
    });
    element.append(...cells);
    return this.#append({ element, start, cells, blocks: [] });
  }

  /** In the order of time; at the end but while what was said before is being told. @param {Group} group */
  #append(group) {
    let at = this.#groups.length;
    while (at > 0 && this.#groups[at - 1].start > group.start) at--;
    this.root.insertBefore(group.element, this.#groups[at]?.element ?? null);
    this.#groups.splice(at, 0, group);
    return group;
  }

  /** Above an utterance that is open, or was when it began; else on a line of its own. @param {Chip} chip */
  #placeFor({ channel, start }) {
    const near = [...this.#blocks.values()].reverse().slice(0, 8);
    const open = near.find((block) => (block.open || block.end >= start) && (channel === null || block.channel === channel)
      && block.view.words[0]?.start_ms <= start + 500);
    if (open) return open.chips;
    const last = this.#groups.at(-1);
    if (last && last.element.classList.contains("sounds")) return last.element;
    const line = document.createElement("p");
    line.className = "sounds";
    this.#append({ element: line, start: Math.max(start, last?.start ?? 0), cells: [], blocks: [] });
    return line;
  }

  /** @param {Block} block */
  #drop(block) {
    block.element.remove();
    this.#blocks.delete(block.id);
    this.#waiting.delete(block);
    const group = this.#groups.find(({ blocks }) => blocks.includes(block));
    if (!group) return;
    group.blocks = group.blocks.filter((one) => one !== block);
    if (group.blocks.length) return;
    group.element.remove();
    this.#groups = this.#groups.filter((one) => one !== group);
  }

  #bound() {
    while (this.#blocks.size > this.maxUtterances) {
      const oldest = this.#groups.shift();
      if (!oldest) return;
      oldest.element.remove();
      for (const block of oldest.blocks) {
        this.#blocks.delete(block.id);
        this.#waiting.delete(block);
      }
    }
  }
}
