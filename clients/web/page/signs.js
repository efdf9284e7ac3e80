/** The line that says how a session stands, and the badges beside it. */

/** @import { Captioning } from "./captioning.js" */
/** @import { Load } from "../sdk/types.js" */

import { FileSource } from "../sdk/file.js";
import { $, languageName } from "./dom.js";

const BACK_MS = 4000;

export class Signs {
  #backUntil = 0;
  /** @type {Load["level"]} */
  #load = "normal";

  /** A session begins. */
  begin() {
    this.#load = "normal";
    this.#backUntil = 0;
  }

  /** The connection is there again. */
  back() {
    this.#backUntil = performance.now() + BACK_MS;
  }

  /** @param {Load["level"]} level */
  load(level) {
    this.#load = level;
  }

  /** @param {string | null | undefined} code */
  language(code) {
    if (!code) return;
    const name = languageName(code);
    if ($("language").textContent !== name) $("language").textContent = name;
    $("language").hidden = false;
  }

  /** @param {string} state @param {Captioning | null} session */
  show(state, session) {
    $("state").dataset.state = state;
    const text = this.#text(state, session);
    if ($("state").textContent !== text) $("state").textContent = text;
    const delay = state === "live" ? session?.delay.ms ?? null : null;
    if (delay !== null) $("delay").textContent = `${(delay / 1000).toFixed(1)} s behind`;
    $("delay").hidden = delay === null;
  }

  /** @param {string} state @param {Captioning | null} session */
  #text(state, session) {
    const file = session?.source instanceof FileSource;
    switch (state) {
      case "opening": return file ? "Connecting …" : "Asking for the sound …";
      case "reconnecting": return `Reconnecting … ${Math.round((session?.heldMs ?? 0) / 1000)} s of sound are kept`;
      case "finishing": return "Finishing the last words …";
      case "paused": return "Interrupted by a reload";
      case "problem": return "Stopped";
      case "live": break;
      default: return "Ready";
    }
    if (session?.mute) return "No sound comes from this microphone";
    if (performance.now() < this.#backUntil) return "Listening again; nothing was lost";
    if (this.#load !== "normal") return "Listening; the server is busy, words come later";
    return file ? "Captioning a recording" : "Listening";
  }
}
