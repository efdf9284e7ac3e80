/** One call as a supervisor sees it, from the messages of its session. Pure. */

/** @import { Message } from "../sdk/types.js" */

import { Transcript, joinWords } from "../sdk/transcript.js";

/** Of a voice's newest words. */
const LAST_CHARS = 220;
/** Keys of messages that are about a state that lasts. @type {Record<string, string>} */
const FLAGS = { hold: "On hold", talk_over: "Talk-over", dead_air: "Dead air" };

export class CallState {
  /** @type {string[]} one per channel */
  labels = ["voice"];
  /** @type {boolean[]} */
  speaking = [false];
  /** @type {string[]} */
  words = [""];
  /** Milliseconds of talk of each channel. */
  talk = [0];
  /** The newest moment that is known of, in milliseconds of the session. */
  heardMs = 0;
  ended = false;
  #transcript = new Transcript(600);
  /** @type {number[]} */
  #since = [];
  /** @type {Map<string, string>} */
  #flags = new Map();

  /** @param {Message} message */
  apply(message) {
    switch (message.type) {
      case "watching": {
        const channels = message.audio.channels ?? 1;
        this.labels = message.audio.labels ?? Array.from({ length: channels }, (_, c) => (channels > 1 ? `channel ${c + 1}` : "voice"));
        for (const list of [this.speaking, this.words, this.talk, this.#since]) list.length = 0;
        for (let c = 0; c < channels; c++) {
          this.speaking[c] = false;
          this.words[c] = "";
          this.talk[c] = this.#since[c] = 0;
        }
        this.ended = message.done ?? false;
        break;
      }
      case "speech":
        this.#speech(message.channel, message.state === "started", message.at_ms);
        break;
      case "transcript": {
        this.#transcript.apply(message);
        const said = this.#transcript.utterances.filter(({ channel }) => channel === message.channel).slice(-4);
        this.words[message.channel] = said.map(({ words }) => joinWords(words)).join(" ").slice(-LAST_CHARS);
        this.heardMs = Math.max(this.heardMs, message.decoded_until_ms ?? 0, message.words.at(-1)?.end_ms ?? 0);
        break;
      }
      case "call":
        if (message.kind in FLAGS) {
          const key = `${message.kind} ${message.channel ?? ""}`;
          if (message.phase === "start") this.#flags.set(key, FLAGS[message.kind]);
          else this.#flags.delete(key);
        }
        break;
      case "summary":
        this.ended = true;
        this.heardMs = message.audio_ms;
        this.speaking.fill(false);
        this.#flags.clear();
        break;
    }
  }

  /** What asks for attention; two voices at once do so though nobody asked the server to look at the call. */
  get flags() {
    const both = this.speaking.length > 1 && this.speaking.every(Boolean);
    return [...new Set([...this.#flags.values(), ...(both ? [FLAGS.talk_over] : [])])];
  }

  /** @param {number} channel @param {boolean} started @param {number} atMs */
  #speech(channel, started, atMs) {
    if (started) this.#since[channel] = atMs;
    else if (this.speaking[channel]) this.talk[channel] += Math.max(0, atMs - this.#since[channel]);
    this.speaking[channel] = started;
    this.heardMs = Math.max(this.heardMs, atMs);
  }
}
