/**
 * The native protocol, version 1, in its JSON form, over the browser's WebSocket.
 *
 * The order of calls: `connect`, then any number of `send`, then `stop`, or `close` to leave at once. Every message of
 * the server comes once, as an event named after its type with the message as `detail`, and as `message`; `end` comes
 * once, last, with `detail.error` null after a `summary`. Audio goes as binary messages, which continue the clock.
 *
 * When the connection is lost the session is resumed over another one, and the messages go on where they stopped. Two
 * messages of this client say so: `reconnecting` and `reconnected` (types.js).
 */

/** @import { Command, Message, Ready, SavedSession, ServerMessage, SourceFormat } from "./types.js" */

import { isUnauthorized, socketUrl, subprotocols } from "./address.js";
import { TympanError } from "./errors.js";
import { Backoff, closedError, leaveAfterMs } from "./reconnect.js";
import { MESSAGE_SAMPLES, ResumableSession } from "./resume.js";

export const SUPPORTED_RATES = [8000, 16000, 24000, 44100, 48000];

const OPEN_TIMEOUT_MS = 15000;
const RESUME_TIMEOUT_MS = 10000;
const LOOK_MS = 250;
/** What the browser may hold for a server that reads slowly. */
const BUFFERED_BYTES = 1 << 20;

/**
 * @typedef {(why: {refused: boolean}) => string | Promise<string>} TokenSource asked before each connection; `refused`:
 *   the last one was not good, a new one is wanted
 *
 * @typedef {object} ClientSettings
 * @property {string} [server] http(s) or ws(s) URL; the page's own folder where it is left out
 * @property {string | TokenSource} [token] an API key, where the server wants one
 * @property {boolean} [reconnect] true
 * @property {number} [resumeWindowMs] 60000: how long after a loss it is tried to resume
 * @property {number} [silenceMs] 10000: a server that owes an answer for so long is given up
 * @property {"wait" | "drop"} [onOverflow] what `send` does while the connection is away and no more audio can be kept:
 *   wait, or drop the oldest, as a microphone must (a `gap` says what is missing)
 *
 * @typedef {"idle" | "connecting" | "live" | "reconnecting" | "finishing" | "ended"} ClientState
 */

/** One session. */
export class TympanClient extends EventTarget {
  /** @type {Required<ClientSettings>} */
  #settings;
  #backoff;
  /** @type {ResumableSession | null} */
  #session = null;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #attempt;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #leave;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #look;
  /** @type {(() => void)[]} */
  #waiting = [];
  #refused = false;
  #stopping = false;
  /** @type {ClientState} */
  #state = "idle";
  /** @type {(error: TympanError | null, ready?: Ready) => void} */
  #settle = () => {};

  /** @param {ClientSettings} [settings] */
  constructor(settings = {}) {
    super();
    this.#settings = {
      server: ".", token: "", reconnect: true, resumeWindowMs: 60000, silenceMs: 10000, onOverflow: "wait", ...settings,
    };
    this.#backoff = new Backoff(this.#settings.resumeWindowMs);
  }

  get state() {
    return this.#state;
  }

  /** Of the session, once there is one: with it others can watch. */
  get session() {
    return this.#session?.id ?? null;
  }

  /** Milliseconds of audio taken so far: the place of the next sample on the session's clock. */
  get takenMs() {
    return this.#session ? this.#session.taken / this.#session.format.sampleRate * 1000 : 0;
  }

  /** Milliseconds of audio that the server has not stored yet, and that would be sent again. */
  get heldMs() {
    return this.#session?.heldMs ?? 0;
  }

  /**
   * Connects and starts a session.
   * @param {SourceFormat} format of the samples
   * @param {Record<string, unknown>} [options] fields of `start`: task, interim, endpointing, events, call, redact
   * @returns {Promise<Ready>} rejects with a TympanError
   */
  connect(format, options = {}) {
    return this.#begin(new ResumableSession(format, options), OPEN_TIMEOUT_MS);
  }

  /**
   * Goes on with a session that `save` told of, in this page or another one.
   * @param {SavedSession} saved
   * @param {number} [lastSeq] of what is known besides, from watching the session
   * @returns {Promise<Ready>}
   */
  resume(saved, lastSeq = 0) {
    const session = ResumableSession.restored(saved);
    session.lastSeq = lastSeq;
    return this.#begin(session, RESUME_TIMEOUT_MS);
  }

  /** What `resume` needs; null where the session is over or was never there. Keep it as you keep a password. */
  save() {
    return this.#state === "ended" ? null : this.#session?.save() ?? null;
  }

  /**
   * Takes samples; settles when the next may be given.
   * @param {Int16Array} samples interleaved where there are two channels
   */
  async send(samples) {
    const session = this.#opened();
    const step = MESSAGE_SAMPLES * session.format.channels;
    for (let at = 0; at < samples.length; at += step) {
      const piece = samples.slice(at, at + step);
      const length = piece.length / session.format.channels;
      while (this.#state !== "ended" && !session.hasRoom(length, this.#settings.onOverflow)) {
        await new Promise((resolve) => this.#waiting.push(() => resolve(null)));
      }
      if (this.#state === "ended") return;
      session.audio(piece);
      this.#flush();
    }
  }

  /**
   * Asks for a `marker` message once all audio sent so far is decoded.
   * @param {string} id
   */
  marker(id) {
    this.#command({ type: "marker", id });
  }

  /** Ends the open utterance now. */
  finalize() {
    this.#command({ type: "finalize" });
  }

  /**
   * Changes `task`, `interim`, `endpointing` or `events`, from here on.
   * @param {Record<string, unknown>} changes
   */
  configure(changes) {
    this.#command({ type: "configure", ...changes });
  }

  /** No more audio: the last finals come, then the summary, then `end`. */
  stop() {
    if (this.#stopping || this.#state === "ended") return;
    this.#stopping = true;
    this.#command({ type: "stop" });
    if (this.#state === "live") this.#become("finishing");
  }

  /** Leaves at once; the session stays on the server until it expires. */
  close() {
    this.#end(new TympanError("closed", "The session was left."));
  }

  /** @param {Command} message */
  #command(message) {
    if (this.#state === "ended") return;
    this.#opened().command(message);
    this.#flush();
  }

  #opened() {
    if (!this.#session) throw new Error("connect first");
    return this.#session;
  }

  /** @param {ResumableSession} session @param {number} timeoutMs @returns {Promise<Ready>} */
  #begin(session, timeoutMs) {
    if (this.#session) throw new Error("a client has one session");
    this.#session = session;
    this.#become("connecting");
    return new Promise((resolve, reject) => {
      this.#settle = (error, ready) => (error ? reject(error) : resolve(/** @type {Ready} */ (ready)));
      this.#connect(timeoutMs);
    });
  }

  /** @param {number} timeoutMs */
  async #connect(timeoutMs) {
    const { server, token } = this.#settings;
    this.#attempt = setTimeout(() => {
      this.#lost(new TympanError("unreachable", "The server did not answer.", true));
    }, timeoutMs);
    const attempt = this.#attempt;
    let key;
    try {
      key = typeof token === "function" ? await token({ refused: this.#refused }) : token;
    } catch (error) {
      if (attempt === this.#attempt) this.#lost(new TympanError("no_token", `No key could be had: ${error}`, true));
      return;
    }
    if (attempt !== this.#attempt || this.#state === "ended") return; // it took too long
    this.#open(new WebSocket(socketUrl(server, "v1/stream"), subprotocols(key)), key);
  }

  /** @param {WebSocket} socket @param {string} key */
  #open(socket, key) {
    const session = this.#opened();
    let answered = false;
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      answered = true;
      socket.send(session.start());
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = async ({ code, reason }) => {
      const refused = !answered && await isUnauthorized(this.#settings.server, key);
      if (this.#socket === socket) this.#lost(refused ? this.#unauthorized() : closedError(code, reason));
    };
    this.#look = setInterval(() => {
      if (session.isSilent(performance.now(), this.#settings.silenceMs)) {
        this.#lost(new TympanError("connection_lost", "The server does not answer any more.", true));
      }
      this.#flush();
    }, LOOK_MS);
  }

  /** Where keys come from a function, another one is asked for, once. */
  #unauthorized() {
    const again = typeof this.#settings.token === "function" && !this.#refused;
    this.#refused = true;
    return new TympanError("unauthorized", "The server wants an API key, or another one than this.", again);
  }

  /** @param {ServerMessage} message */
  #receive(message) {
    const session = this.#opened();
    if (message.type === "ready" && (message.resumed ?? false) !== session.opened) {
      this.#lost(new TympanError("bad_server_message", "The server began another session."));
      return;
    }
    const told = session.receive(message, performance.now());
    if (message.type === "error" && message.fatal !== false) {
      const { code, message: text, retryable, retry_after_ms: wait } = message;
      this.#lost(new TympanError(code, text, retryable === true, wait ?? 0));
      return;
    }
    if (message.type === "ready") this.#ready(message);
    if (message.type === "ack") this.#backoff.acknowledged();
    if (message.type === "goaway" && this.#settings.reconnect && session.canResume) {
      this.#leave ??= setTimeout(() => {
        this.#lost(new TympanError("goaway", "The server is about to stop.", true));
      }, leaveAfterMs(message.deadline_ms, Math.random()));
    }
    this.#flush();
    if (told) this.#tell(told);
    if (session.finished) this.#end(null);
  }

  /** @param {Ready} message */
  #ready(message) {
    clearTimeout(this.#attempt);
    this.#refused = false;
    this.#backoff.connected(performance.now());
    this.#become(this.#stopping ? "finishing" : "live");
    this.#settle(null, message);
  }

  /** @param {TympanError} error */
  #lost(error) {
    const session = this.#opened();
    this.#disconnect();
    const again = error.code === "unauthorized" || error.code === "no_token";
    const resumes = this.#settings.reconnect && (session.canResume || again);
    session.lost();
    const delay = resumes ? this.#backoff.delay(error, performance.now(), Math.random()) : null;
    if (delay === null) {
      this.#end(error);
      return;
    }
    this.#attempt = setTimeout(() => this.#connect(RESUME_TIMEOUT_MS), delay);
    this.#wake();
    if (!session.opened) return;
    this.#become("reconnecting");
    this.#tell({ type: "reconnecting", reason: error.code, attempt: session.attempts, delay_ms: delay });
  }

  /** Of the connection nothing is heard any more, though it may take its time to close. */
  #disconnect() {
    clearTimeout(this.#attempt);
    clearTimeout(this.#leave);
    clearInterval(this.#look);
    this.#attempt = this.#leave = this.#look = undefined;
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #flush() {
    while (this.#socket?.readyState === WebSocket.OPEN && this.#socket.bufferedAmount < BUFFERED_BYTES) {
      const payload = this.#opened().next(performance.now());
      if (payload === null) break;
      this.#socket.send(payload);
    }
    this.#wake();
  }

  /** @param {TympanError | null} error */
  #end(error) {
    if (this.#state === "ended") return;
    this.#disconnect();
    this.#become("ended");
    this.#wake();
    this.#settle(error);
    this.dispatchEvent(new CustomEvent("end", { detail: { error } }));
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** @param {Message} message */
  #tell(message) {
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }

  /** @param {ClientState} state */
  #become(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
