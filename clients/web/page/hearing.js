/** The sound of a session as it is seen and heard again: level, spectrogram, memory. */

/** @import { Captioning } from "./captioning.js" */
/** @import { TympanCaptions } from "../sdk/captions-element.js" */

import { $, toast } from "./dom.js";
import { Spectrogram } from "./spectrogram.js";

const FLOOR_DB = -60;
const LEAD_MS = 120;
const LONGEST_MS = 15000;
/** Reading devices hear of the level so often. */
const TOLD_MS = 1000;

export class Hearing {
  spectrogram = new Spectrogram(/** @type {HTMLCanvasElement} */ ($("spectrogram")));
  /** @type {Captioning | null} */
  #session = null;
  #toldAt = 0;
  #bars = /** @type {HTMLElement[]} */ ([...$("level").children]);

  /** @param {Captioning} session @param {number} atMs of its clock */
  begin(session, atMs) {
    this.#session = session;
    const { channels = 1 } = session.source.format;
    $("level").dataset.channels = String(channels);
    this.spectrogram.begin(atMs);
    session.source.addEventListener("chunk", (event) => {
      const { samples, levels } = /** @type {CustomEvent} */ (event).detail;
      this.spectrogram.hear(samples, channels);
      this.#level(levels);
    });
  }

  end() {
    this.spectrogram.end();
    this.#level([FLOOR_DB, FLOOR_DB]);
  }

  /** Plays words of the last minute. @param {TympanCaptions} captions @param {number} startMs @param {number} endMs */
  async again(captions, startMs, endMs) {
    const memory = this.#session?.memory;
    const from = Math.max(startMs - LEAD_MS, memory?.fromMs ?? 0);
    const until = Math.min(endMs + LEAD_MS, from + LONGEST_MS);
    if (!memory || startMs < memory.fromMs || memory.untilMs <= startMs) {
      toast("This is longer ago than the page remembers.");
      return;
    }
    const begun = performance.now();
    const marking = setInterval(() => captions.mark(from + performance.now() - begun), 50);
    await memory.play(from, until);
    clearInterval(marking);
    captions.mark(null);
  }

  /** @param {number[]} levels in dB */
  #level(levels) {
    levels.forEach((db, channel) => {
      const share = 1 - Math.max(FLOOR_DB, Math.min(0, db)) / FLOOR_DB;
      if (this.#bars[channel]) this.#bars[channel].style.transform = `scaleX(${share.toFixed(3)})`;
    });
    const now = performance.now();
    if (now - this.#toldAt < TOLD_MS) return;
    this.#toldAt = now;
    $("level").setAttribute("aria-valuenow", String(Math.round(Math.max(FLOOR_DB, Math.min(0, Math.max(...levels))))));
  }
}
