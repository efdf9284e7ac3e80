/**
 * The native protocol, version 1, in its JSON form, over the browser's WebSocket.
 *
 * The order of calls: `open`, then any number of `send`, then `stop`; `onevent` gets every message of the server once,
 * as it came, `onend` is called once, with null after a `summary`, else with a `TympanError`. Audio is s16le mono and
 * goes as binary messages, which continue the sample clock.
 *
 * When the connection is lost the session is resumed over another one, and the messages go on where they stopped.
 * `onevent` is told so by two messages of this client: {type: "reconnecting", reason, attempt, delay_ms} and
 * {type: "reconnected", attempts, lost_ms}, where `lost_ms` of audio could not be kept for so long.
 */

import { Backoff, MESSAGE_SAMPLES, ResumableSession, TympanError, closedError, leaveAfterMs } from "./resume.js";

export { TympanError };
export const SUPPORTED_RATES = [8000, 16000, 24000, 44100, 48000];

const OPEN_TIMEOUT_MS = 15000;
const RESUME_TIMEOUT_MS = 10000;
const LOOK_MS = 250;
/** What the browser may hold for a server that reads slowly. */
const BUFFERED_BYTES = 1 << 20;
const DEFAULTS = { reconnect: true, resumeWindowMs: 60000, silenceMs: 10000, onOverflow: "wait", key: "" };

export class TympanSession {
  onevent = () => {};
  onend = () => {};
  #settings;
  #backoff;
  #session = null;
  #url = "";
  #socket = null;
  #attempt = null;
  #leave = null;
  #look = null;
  #waiting = [];
  #ended = false;
  #settle = () => {};

  /**
   * Settings: `reconnect`; `resumeWindowMs`, how long after a loss that is tried; `silenceMs`, after which a server that
   * owes an answer is given up; `onOverflow`, what `send` does while the connection is away and no more audio can be
   * kept: `wait`, or `drop` the oldest, as a microphone must (a `gap` says what is missing); `key`, an API key where the
   * server wants one.
   */
  constructor(settings = {}) {
    this.#settings = { ...DEFAULTS, ...settings };
    this.#backoff = new Backoff(this.#settings.resumeWindowMs);
  }

  /** Connects and starts a session with fields of `start`; settles with the `ready` message. */
  open(url, sampleRate, options = {}) {
    this.#url = url;
    this.#session = new ResumableSession(sampleRate, options);
    return new Promise((resolve, reject) => {
      this.#settle = (error, ready) => (error ? reject(error) : resolve(ready));
      this.#connect(OPEN_TIMEOUT_MS);
    });
  }

  /** Takes Int16Array samples; settles when the next may be given. */
  async send(samples) {
    for (let at = 0; at < samples.length; at += MESSAGE_SAMPLES) {
      const piece = samples.slice(at, at + MESSAGE_SAMPLES);
      while (!this.#ended && !this.#session.hasRoom(piece.length, this.#settings.onOverflow)) {
        await new Promise((resolve) => this.#waiting.push(resolve));
      }
      if (this.#ended) return;
      this.#session.audio(piece);
      this.#flush();
    }
  }

  /** Asks for a `marker` message once all audio sent so far is decoded. */
  marker(id) {
    this.#command({ type: "marker", id });
  }

  /** Ends the open utterance now. */
  finalize() {
    this.#command({ type: "finalize" });
  }

  /** Changes `interim`, `endpointing` or `events`, from here on. */
  configure(changes) {
    this.#command({ type: "configure", ...changes });
  }

  /** No more audio: the last finals come, then the summary. */
  stop() {
    this.#command({ type: "stop" });
  }

  #command(message) {
    if (this.#ended) return;
    this.#session.command(message);
    this.#flush();
  }

  #connect(timeoutMs) {
    const key = this.#settings.key;
    // A browser's WebSocket has no headers, and a query would stand in the logs of proxies.
    const socket = new WebSocket(this.#url, key ? ["tympan.v1.json", `tympan.key.${key}`] : ["tympan.v1.json"]);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(this.#session.start());
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lost(closedError(code, reason));
    this.#attempt = setTimeout(() => {
      this.#lost(new TympanError("unreachable", "The server did not answer.", true));
    }, timeoutMs);
    this.#look = setInterval(() => {
      if (this.#session.isSilent(performance.now(), this.#settings.silenceMs)) {
        this.#lost(new TympanError("connection_lost", "The server does not answer any more.", true));
      }
      this.#flush();
    }, LOOK_MS);
  }

  #receive(message) {
    if (message.type === "ready" && (message.resumed ?? false) !== this.#session.opened) {
      this.#lost(new TympanError("bad_server_message", "The server began another session."));
      return;
    }
    const told = this.#session.receive(message, performance.now());
    if (message.type === "error" && message.fatal !== false) {
      this.#lost(new TympanError(message.code, message.message, message.retryable === true, message.retry_after_ms ?? 0));
      return;
    }
    if (message.type === "ready") {
      clearTimeout(this.#attempt);
      this.#backoff.connected(performance.now());
      this.#settle(null, message);
    }
    if (message.type === "ack") this.#backoff.acknowledged();
    if (message.type === "goaway" && this.#settings.reconnect && this.#session.canResume) {
      this.#leave ??= setTimeout(() => {
        this.#lost(new TympanError("goaway", "The server is about to stop.", true));
      }, leaveAfterMs(message.deadline_ms, Math.random()));
    }
    this.#flush();
    if (told) this.onevent(told);
    if (this.#session.finished) this.#end(null);
  }

  #lost(error) {
    this.#disconnect();
    const resumes = this.#settings.reconnect && this.#session.canResume;
    this.#session.lost();
    const delay = resumes ? this.#backoff.delay(error, performance.now(), Math.random()) : null;
    if (delay === null) {
      this.#end(error);
      return;
    }
    this.#attempt = setTimeout(() => this.#connect(RESUME_TIMEOUT_MS), delay);
    this.#wake();
    this.onevent({ type: "reconnecting", reason: error.code, attempt: this.#session.attempts, delay_ms: delay });
  }

  /** Of the connection nothing is heard any more, though it may take its time to close. */
  #disconnect() {
    clearTimeout(this.#attempt);
    clearTimeout(this.#leave);
    clearInterval(this.#look);
    this.#leave = null;
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #flush() {
    while (this.#socket?.readyState === WebSocket.OPEN && this.#socket.bufferedAmount < BUFFERED_BYTES) {
      const payload = this.#session.next(performance.now());
      if (payload === null) break;
      this.#socket.send(payload);
    }
    this.#wake();
  }

  #end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#disconnect();
    this.#wake();
    this.#settle(error);
    this.onend(error);
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
