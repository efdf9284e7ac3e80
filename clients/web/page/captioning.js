/**
 * One session of the page: a source, a client, and what they tell. `state` says how it stands, and `change` that it is
 * another: idle → opening → live ⇄ reconnecting → finishing → idle, or problem with `error`.
 */

/** @import { Message, SavedSession } from "../sdk/types.js" */
/** @import { Source } from "../sdk/source.js" */

import { AudioMemory } from "../sdk/memory.js";
import { TympanClient } from "../sdk/client.js";
import { FileSource } from "../sdk/file.js";
import { Delay } from "./delay.js";

/** Digital silence for so long: something is wrong with the microphone. */
const MUTE_DB = -85;
const MUTE_MS = 4000;

/** @typedef {"idle" | "opening" | "live" | "reconnecting" | "finishing" | "problem"} State */

export class Captioning extends EventTarget {
  /** @type {State} */
  state = "idle";
  /** @type {Error | null} */
  error = null;
  /** @type {import("../sdk/types.js").Ready | null} */
  ready = null;
  delay = new Delay();
  /** @type {AudioMemory} */
  memory;
  /** Nothing but digital silence has come for a while. */
  mute = false;
  #heardAt = 0;
  #client;

  /**
   * @param {Source} source
   * @param {{server: string, token: string}} at
   */
  constructor(source, at) {
    super();
    this.source = source;
    this.memory = new AudioMemory(source.format.sampleRate);
    const onOverflow = source instanceof FileSource ? "wait" : "drop";
    this.#client = new TympanClient({ ...at, onOverflow });
    this.#client.addEventListener("message", (event) => this.#hear(/** @type {CustomEvent<Message>} */ (event).detail));
    this.#client.addEventListener("state", () => {
      const { state } = this.#client;
      if (state === "live" || state === "reconnecting" || state === "finishing") this.#become(state);
    });
    this.#client.addEventListener("end", (event) => this.#end(/** @type {CustomEvent} */ (event).detail.error));
    source.addEventListener("chunk", (event) => this.#took(/** @type {CustomEvent} */ (event).detail));
    source.addEventListener("end", () => this.#sourceEnded());
  }

  get session() {
    return this.#client.session;
  }

  get heldMs() {
    return this.#client.heldMs;
  }

  /** For another page. */
  save() {
    return this.#client.save();
  }

  /**
   * Asks for the sound, then for a session, or to go on with one.
   * @param {Record<string, unknown>} options of `start`
   * @param {{saved: SavedSession, lastSeq: number} | null} [resume]
   */
  async begin(options, resume = null) {
    this.#become("opening");
    try {
      await this.source.open();
      const { format } = this.source;
      const twoChannels = format.channels === 2;
      this.memory = new AudioMemory(format.sampleRate, format.channels);
      this.ready = resume
        ? await this.#client.resume(resume.saved, resume.lastSeq)
        : await this.#client.connect(format, { ...(twoChannels ? { call: {} } : {}), ...options });
    } catch (error) {
      this.source.stop();
      this.#end(/** @type {Error} */ (error));
      return;
    }
    this.memory.moveTo(this.#client.takenMs);
    this.#heardAt = performance.now();
    this.dispatchEvent(new CustomEvent("ready", { detail: { atMs: this.#client.takenMs, ready: this.ready } }));
    this.source.start((samples) => this.#client.send(samples));
  }

  stop() {
    if (this.state === "opening") this.#end(null);
    else this.source.stop();
  }

  /** @param {{samples: Int16Array, levels: number[]}} chunk */
  #took({ samples, levels }) {
    const now = performance.now();
    const { channels = 1, sampleRate } = this.source.format;
    this.memory.keep(samples);
    this.delay.took(this.#client.takenMs + samples.length / channels / sampleRate * 1000, now);
    if (Math.max(...levels) > MUTE_DB) this.#heardAt = now;
    const mute = now - this.#heardAt > MUTE_MS && !(this.source instanceof FileSource);
    if (mute === this.mute) return;
    this.mute = mute;
    this.dispatchEvent(new CustomEvent("change"));
  }

  /** @param {Message} message */
  #hear(message) {
    if (message.type === "transcript" && !message.final && message.decoded_until_ms) {
      this.delay.got(message.decoded_until_ms, performance.now());
    }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  /** No more sound comes; the words that are still on their way do. */
  #sourceEnded() {
    if (this.state === "idle" || this.state === "problem") return;
    this.#client.stop();
  }

  /** @param {Error | null} error */
  #end(error) {
    if (this.state === "idle" || this.state === "problem") return;
    this.error = error;
    this.#become(error ? "problem" : "idle");
    this.source.stop();
    this.#client.close();
  }

  /** @param {State} state */
  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("change"));
  }
}
