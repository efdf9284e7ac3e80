/**
 * `<tympan-captions>`: captions that are being said, in any page.
 *
 *     <tympan-captions server="https://captions.example.org" session="ID"></tympan-captions>
 *
 * Without `session` give it what a client or a watcher tells, by `follow` or `apply`. Attributes:
 *
 * - `layout`: `log` (default: all of it, scrolls), `columns` (a column for each of two channels), `lines` (the newest
 *   `rows`, 2 by default)
 * - `pace`: how long, in milliseconds, a word may be held back so that words come one after another; 150
 * - `clickable`: words can be chosen by pointer and by arrow keys and Enter, which `wordchosen` tells
 */

/** @import { Message, TranscriptMessage } from "./types.js" */

import { Announcer } from "./announcer.js";
import { Cadence } from "./cadence.js";
import { CaptionsLog } from "./captions-log.js";
import { captionsStyle } from "./captions-style.js";
import { answerChip, callChip, clock, soundChip } from "./sounds.js";
import { Transcript } from "./transcript.js";
import { TympanWatcher } from "./watcher.js";
import { shownWord } from "./words-view.js";

const PACE_MS = 150;
const MAX_UTTERANCES = 1000;
/** Words can be chosen for so long; what is older costs little. */
const CHOOSABLE_MS = 60000;
const AT_END_PX = 48;

export class TympanCaptions extends HTMLElement {
  static observedAttributes = ["session", "server", "rows", "pace"];

  /** All that was said. */
  transcript = new Transcript();
  #root = this.attachShadow({ mode: "open" });
  #log = element("div", "log");
  #heads = element("div", "heads");
  #body = element("div", "body");
  #latest = element("button", "latest");
  #spoken = element("div", "spoken");
  #view = new CaptionsLog(this.#body, MAX_UTTERANCES);
  #announcer = new Announcer(this.#spoken);
  #cadence = new Cadence(PACE_MS);
  /** @type {TympanWatcher | null} */
  #watcher = null;
  /** @type {string | ((why: {refused: boolean}) => string | Promise<string>)} an API key for `session`, or who has one */
  token = "";
  #following = true;
  #top = 0;
  #past = 0;
  #newestMs = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #scrolls = 0;
  #width = 0;
  /** Its width is that of a letter, and the log's that of a line. */
  #letter = element("i", "letter");
  #room = new ResizeObserver(() => this.#resized());

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [captionsStyle()];
    this.#log.tabIndex = 0;
    this.#log.setAttribute("role", "group");
    this.#log.setAttribute("aria-label", "Captions");
    this.#spoken.setAttribute("role", "log");
    this.#spoken.setAttribute("aria-live", "polite");
    this.#spoken.setAttribute("aria-label", "Settled captions");
    /** @type {HTMLButtonElement} */ (this.#latest).type = "button";
    this.#latest.textContent = "Newest words";
    this.#latest.hidden = true;
    this.#latest.onclick = () => this.toLatest();
    this.#log.append(this.#heads, this.#body, this.#letter);
    this.#root.append(this.#log, this.#latest, this.#spoken);
    this.#log.onscroll = () => this.#scrolled();
    this.#log.onclick = ({ target }) => this.#choose(/** @type {Element} */ (target));
    this.#log.onkeydown = (event) => this.#key(event);
  }

  connectedCallback() {
    this.#room.observe(this.#log);
    this.#room.observe(this.#letter);
    if (this.hasAttribute("session") && !this.#watcher) this.#watch();
  }

  disconnectedCallback() {
    this.#room.disconnect();
    this.#watcher?.close();
    this.#watcher = null;
  }

  /** @param {string} name */
  attributeChangedCallback(name) {
    if (name === "rows") this.style.setProperty("--rows", this.getAttribute("rows") || "2");
    else if (name === "pace") this.#cadence = new Cadence(Number(this.getAttribute("pace") ?? PACE_MS));
    else if (this.isConnected) {
      this.disconnectedCallback();
      this.clear();
      this.connectedCallback();
    }
  }

  /** Of the channels; "" has none. @param {readonly string[]} labels */
  set labels(labels) {
    this.#view.labels = [...labels];
    this.#heads.replaceChildren(...this.#view.labels.map((label) => {
      const head = element("span", "head");
      head.textContent = label;
      return head;
    }));
  }

  /** @returns {readonly string[]} */
  get labels() {
    return this.#view.labels;
  }

  /** @param {number} count 1 or 2 */
  set channels(count) {
    this.#view.channels = count;
  }

  /** Takes what a client or a watcher tells, until `signal` ends it. @param {EventTarget} source @param {AbortSignal} [signal] */
  follow(source, signal) {
    source.addEventListener("message", (event) => this.apply(/** @type {CustomEvent<Message>} */ (event).detail), { signal });
  }

  /** @param {Message} message */
  apply(message) {
    switch (message.type) {
      case "ready":
      case "watching":
        this.#describe(message.audio.labels ?? [], message.audio.channels ?? 1);
        if (message.type === "watching") this.#past = message.last_seq ?? 0;
        break;
      case "transcript":
        this.#words(message);
        break;
      case "speech":
        this.#heads.children[message.channel]?.classList.toggle("speaking", message.state === "started");
        break;
      case "event":
        this.#chip(soundChip(message));
        break;
      case "call":
        this.#chip(callChip(message));
        break;
      case "analysis":
        this.#chip(answerChip(message));
        break;
      case "gap":
        this.notice(message.reason === "lost" ? "A sentence could not be transcribed here." : "Some sound is missing here.");
        break;
    }
  }

  /** A sentence of its own between the captions. @param {string} text */
  notice(text) {
    this.#view.notice(text);
    this.#scrollSoon();
  }

  clear() {
    this.transcript.clear();
    this.#view.clear();
    this.#past = this.#newestMs = 0;
    this.toLatest();
  }

  /** Marks the word that is heard at a moment of the session; null: none. @param {number | null} ms */
  mark(ms) {
    this.#view.mark(ms ?? -1);
  }

  /** Scrolls to the newest words, and stays there. */
  toLatest() {
    this.#following = true;
    this.#latest.hidden = true;
    this.#scrollSoon();
  }

  #watch() {
    const server = this.getAttribute("server") || ".";
    this.#watcher = new TympanWatcher(this.getAttribute("session") ?? "", { server, token: this.token });
    this.follow(this.#watcher);
    this.#watcher.addEventListener("end", (event) => {
      this.dispatchEvent(new CustomEvent("end", { detail: /** @type {CustomEvent} */ (event).detail }));
    });
    this.#watcher.open();
  }

  /** @param {string[]} labels @param {number} channels */
  #describe(labels, channels) {
    this.labels = labels.length || channels === 1 ? labels : ["channel 1", "channel 2"];
    this.channels = channels;
  }

  /** @param {TranscriptMessage} message */
  #words(message) {
    const utterance = this.transcript.apply(message);
    const isPast = (message.seq ?? Infinity) <= this.#past;
    const now = performance.now();
    this.#view.put(utterance, isPast ? null : this.#cadence, now);
    if (isPast) this.#announcer.skip(utterance);
    else this.#announcer.tell(utterance, this.#view.labels[utterance.channel]);
    if (message.final) {
      this.#newestMs = Math.max(this.#newestMs, utterance.words.at(-1)?.end_ms ?? 0);
      this.#view.flattenBefore(this.hasAttribute("clickable") ? this.#newestMs - CHOOSABLE_MS : this.#newestMs - 1);
    }
    this.#pump();
  }

  /** @param {import("./sounds.js").Chip | null} chip */
  #chip(chip) {
    if (!chip) return;
    this.#view.chip(chip);
    this.#scrollSoon();
  }

  /** Shows words whose time has come, and waits for the next. */
  #pump() {
    clearTimeout(this.#timer);
    const now = performance.now();
    const next = this.#view.show(now);
    if (next !== null) this.#timer = setTimeout(() => this.#pump(), next - now);
    this.#scrollSoon();
  }

  /** Once a frame is enough. */
  #scrollSoon() {
    if (this.#scrolls) return;
    this.#scrolls = requestAnimationFrame(() => {
      this.#scrolls = 0;
      if (this.#following) this.#log.scrollTop = this.#log.scrollHeight;
      else this.#latest.hidden = false;
    });
  }

  /** Lines are broken anew where their width, or that of their letters, is another one. */
  #resized() {
    const width = this.#log.clientWidth + this.#letter.offsetWidth / 1000;
    if (this.#width && width !== this.#width) this.#view.unlock();
    this.#width = width;
    this.#scrollSoon();
  }

  #scrolled() {
    const { scrollTop: top, scrollHeight, clientHeight } = this.#log;
    const atEnd = scrollHeight - top - clientHeight < AT_END_PX;
    if (atEnd) this.#latest.hidden = this.#following = true;
    else if (top < this.#top) this.#following = false;
    this.#top = top;
  }

  /** @param {Element} target */
  #choose(target) {
    const word = target.classList.contains("word") ? shownWord(target) : null;
    if (!word || !this.hasAttribute("clickable") || word.state === "tentative") return;
    const said = this.transcript.utterances.find(({ words }) => words.some(({ id }) => id === word.id));
    this.dispatchEvent(new CustomEvent("wordchosen", { detail: { word, utterance: said } }));
  }

  /** Arrows go from word to word, Enter chooses one. @param {KeyboardEvent} event */
  #key(event) {
    if (!this.hasAttribute("clickable") || event.altKey || event.ctrlKey || event.metaKey) return;
    const words = /** @type {HTMLElement[]} */ ([...this.#body.querySelectorAll(".word:not(.tentative)")]);
    const at = words.indexOf(/** @type {HTMLElement} */ (this.#root.activeElement));
    const to = { ArrowLeft: at < 0 ? words.length - 1 : at - 1, ArrowRight: at < 0 ? words.length - 1 : at + 1 }[event.key];
    if (to !== undefined && words[to]) {
      this.#point(words[to], words[at]);
    } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
      this.#choose(words[at]);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** @param {HTMLElement} word @param {HTMLElement | undefined} before */
  #point(word, before) {
    before?.removeAttribute("tabindex");
    before?.removeAttribute("role");
    word.tabIndex = -1;
    word.setAttribute("role", "button");
    const said = shownWord(word);
    word.setAttribute("aria-label", `${said?.text}, at ${clock(said?.start_ms ?? 0)}: hear again`);
    word.focus();
  }
}

/** @param {string} name @param {string} className @returns {HTMLElement} */
function element(name, className) {
  const made = document.createElement(name);
  made.className = className;
  made.part.value = className;
  return made;
}

if (!customElements.get("tympan-captions")) customElements.define("tympan-captions", TympanCaptions);
