/** When to try again. No clock and no chance of its own: milliseconds and numbers of [0, 1) are given. */

import { TympanError } from "./errors.js";

const BASE_MS = 200;
const CAP_MS = 5000;
/** A connection that held so long ended the outage before it, and so does one on which audio was acknowledged; a loss
 * before that goes on with it. */
const STEADY_MS = 10000;
/** After `goaway`, the client has left by this share of the time that is given to it. */
const LEAVING_SHARE = 0.5;
/** Close codes after which the session can be resumed, if they come without an `error` and before the summary. */
const LOSSES = [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014];
const SLOW_READER = 4429;

/**
 * What it means that the connection closed and the server said nothing else.
 * @param {number} code
 * @param {string} reason
 */
export function closedError(code, reason) {
  const why = reason ? `: ${reason}` : "";
  const said = code === 1006
    ? "The connection to the server broke, or no server answers."
    : `The server closed the connection (${code}${why}).`;
  if (LOSSES.includes(code)) return new TympanError("connection_lost", said, true);
  return new TympanError(reason || "connection_lost", said, code === SLOW_READER);
}

/**
 * When to leave a server that said `goaway`: not all of its clients at the same moment.
 * @param {number} deadlineMs
 * @param {number} chance
 */
export function leaveAfterMs(deadlineMs, chance) {
  return deadlineMs * LEAVING_SHARE * chance;
}

/** Backoff with full jitter, inside a window that begins with the outage. */
export class Backoff {
  #failures = 0;
  #began = 0;
  /** @type {number | null} */
  #connected = null;

  /** @param {number} windowMs */
  constructor(windowMs) {
    this.windowMs = windowMs;
  }

  /**
   * Milliseconds to wait before the next attempt; null: give up with this error.
   * @param {TympanError} error
   * @param {number} nowMs
   * @param {number} chance
   */
  delay(error, nowMs, chance) {
    if (!error.retryable) return null;
    if (this.#connected !== null && nowMs - this.#connected >= STEADY_MS) this.#failures = 0;
    this.#connected = null;
    if (!this.#failures) this.#began = nowMs;
    const left = this.#began + this.windowMs - nowMs;
    const wanted = error.retryAfterMs;
    if (left <= 0 || wanted > left) return null;
    const spread = Math.min(CAP_MS, BASE_MS * 2 ** this.#failures);
    this.#failures++;
    return Math.min(left, wanted + chance * spread);
  }

  /** @param {number} nowMs */
  connected(nowMs) {
    this.#connected = nowMs;
  }

  /** The session got on. */
  acknowledged() {
    this.#failures = 0;
  }
}
