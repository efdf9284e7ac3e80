/**
 * A viewer of somebody's session: all that was said, then what is being said (docs/watching.md).
 *
 * `open`, and then events named after the messages, and `message`, as of TympanClient; `end` comes once, last, with
 * `detail.error` null after a `summary`. A connection that is lost is opened again where it left off.
 */

/** @import { Message, ServerMessage } from "./types.js" */
/** @import { TokenSource } from "./client.js" */

import { isUnauthorized, socketUrl, subprotocols } from "./address.js";
import { TympanError } from "./errors.js";
import { Backoff, closedError } from "./reconnect.js";

/** The server pings, which a page does not see; but a handshake must come to an end. */
const OPEN_TIMEOUT_MS = 10000;

/**
 * @typedef {object} WatcherSettings
 * @property {string} [server] http(s) or ws(s) URL; the page's own folder where it is left out
 * @property {string | TokenSource} [token] an API key, where the server wants one
 * @property {number} [windowMs] 600000: how long after a loss it is tried to come back
 */

export class TympanWatcher extends EventTarget {
  /** The highest number that was heard. */
  lastSeq = 0;
  /** @type {Required<WatcherSettings>} */
  #settings;
  #backoff;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #attempts = 0;
  #over = false;
  #opened = false;
  #refused = false;

  /** @param {string} session its id @param {WatcherSettings} [settings] */
  constructor(session, settings = {}) {
    super();
    this.session = session;
    this.#settings = { server: ".", token: "", windowMs: 600000, ...settings };
    this.#backoff = new Backoff(this.#settings.windowMs);
  }

  async open() {
    const { token } = this.#settings;
    const key = typeof token === "function" ? await token({ refused: this.#refused }) : token;
    if (this.#over) return;
    const route = `v1/sessions/${encodeURIComponent(this.session)}/watch?after=${this.lastSeq}`;
    const socket = this.#socket = new WebSocket(socketUrl(this.#settings.server, route), subprotocols(key));
    let answered = false;
    this.#timer = setTimeout(() => {
      this.#lost(new TympanError("unreachable", "The server did not answer.", true));
    }, OPEN_TIMEOUT_MS);
    socket.onopen = () => {
      answered = true;
      clearTimeout(this.#timer);
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = async ({ code, reason }) => {
      const refused = !answered && await isUnauthorized(this.#settings.server, key);
      if (this.#socket === socket) this.#lost(refused ? this.#unauthorized() : closedError(code, reason));
    };
  }

  close() {
    this.#over = true;
    this.#disconnect();
  }

  #unauthorized() {
    const again = typeof this.#settings.token === "function" && !this.#refused;
    this.#refused = true;
    return new TympanError("unauthorized", "The server wants an API key, or another one than this.", again);
  }

  /** @param {ServerMessage} message */
  #receive(message) {
    if (message.type === "error" && message.fatal !== false) {
      const { code, message: text, retryable, retry_after_ms: wait } = message;
      this.#lost(new TympanError(code, text, retryable === true, wait ?? 0));
      return;
    }
    if (message.type === "watching") this.#arrived();
    this.lastSeq = Math.max(this.lastSeq, message.seq ?? 0);
    this.#tell(message);
    if (message.type === "summary") this.#end(null);
  }

  #arrived() {
    this.#backoff.connected(performance.now());
    this.#backoff.acknowledged();
    if (this.#opened && this.#attempts) this.#tell({ type: "reconnected", attempts: this.#attempts, lost_ms: 0 });
    this.#opened = true;
    this.#refused = false;
    this.#attempts = 0;
  }

  /** @param {TympanError} error */
  #lost(error) {
    this.#disconnect();
    const delay = this.#backoff.delay(error, performance.now(), Math.random());
    if (this.#over) return;
    if (delay === null) {
      this.#end(error);
      return;
    }
    this.#attempts++;
    this.#timer = setTimeout(() => this.open(), delay);
    this.#tell({ type: "reconnecting", reason: error.code, attempt: this.#attempts, delay_ms: delay });
  }

  #disconnect() {
    clearTimeout(this.#timer);
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  /** @param {TympanError | null} error */
  #end(error) {
    if (this.#over) return;
    this.close();
    this.dispatchEvent(new CustomEvent("end", { detail: { error } }));
  }

  /** @param {Message} message */
  #tell(message) {
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }
}
