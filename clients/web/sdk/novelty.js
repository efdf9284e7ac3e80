/** What the application has not been told yet: a resumed session says some things again. */

/** @import { ServerMessage } from "./types.js" */

const KEPT = 1024;

/**
 * What is said once only; null: it may be said again.
 * @param {ServerMessage} message
 */
function keyOf(message) {
  switch (message.type) {
    case "transcript":
      return message.final ? `final ${message.utterance}` : null;
    case "speech":
      return `speech ${message.state} ${message.utterance}`;
    case "gap":
      return `gap ${message.reason} ${message.channel} ${message.from_sample} ${message.to_sample}`;
    case "analysis":
      return `analysis ${message.utterance} ${message.index}`;
    case "call":
      return JSON.stringify(message.kind === "keyword"
        ? ["keyword", message.keyword, message.channel, message.utterance, message.start_ms]
        : ["call", message.kind, message.phase, message.channel, message.start_ms, message.end_ms]);
    case "call_summary":
      return "call_summary";
    case "event":
      return JSON.stringify(
        ["event", message.label, message.channel, message.start_ms, message.end_ms, message.phase, message.source],
      );
  }
  return null;
}

/**
 * Numbered messages once each; and nothing about which the same was said, however it is numbered: what a server said
 * while its store was away comes again with other numbers.
 */
export class Novelty {
  lastSeq = 0;
  /** @type {Set<string>} the newest, in order */
  #told = new Set();
  /** @type {string[]} */
  #markers = [];

  /**
   * It was taken from the application, and comes back once.
   * @param {string} id
   */
  expectMarker(id) {
    this.#markers.push(id);
  }

  /** @param {ServerMessage} message */
  isNew(message) {
    const { seq = -1 } = message;
    if (seq >= 0 && seq <= this.lastSeq) return false;
    this.lastSeq = Math.max(this.lastSeq, seq);
    if (message.type === "marker") return this.#reached(message.id);
    if (message.type === "transcript" && this.#told.has(`final ${message.utterance}`)) return false;
    const key = keyOf(message);
    if (key === null) return true;
    if (this.#told.has(key)) return false;
    this.#told.add(key);
    for (const oldest of this.#told) {
      if (this.#told.size <= KEPT) break;
      this.#told.delete(oldest);
    }
    return true;
  }

  /** @param {string} id */
  #reached(id) {
    const index = this.#markers.indexOf(id);
    if (index >= 0) this.#markers.splice(index, 1); // names may be used again
    return index >= 0;
  }
}
