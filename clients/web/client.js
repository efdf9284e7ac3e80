/**
 * The native protocol, version 1, in its JSON form, over the browser's WebSocket.
 *
 * The order of calls: `open`, then any number of `send`, then `stop`; `onevent` gets every message of the server as it
 * came, `onend` is called once, with null after a `summary`, else with a `TympanError`. Audio is s16le mono and goes as
 * binary messages, which continue the sample clock.
 */

export const SUPPORTED_RATES = [8000, 16000, 24000, 44100, 48000];

/** Seconds of audio that may be under way: the server acknowledges each half second. */
const UNACKNOWLEDGED_S = 30;
/** Audio is cut into messages of at most this many samples; half a second at 48 kHz. */
const MESSAGE_SAMPLES = 24000;
const OPEN_TIMEOUT_MS = 15000;

export class TympanError extends Error {
  constructor(code, message, retryable = false) {
    super(message);
    this.code = code;
    this.retryable = retryable;
  }
}

export class TympanSession {
  #socket = null;
  #sampleRate = 16000;
  #sent = 0;
  #acknowledged = 0;
  #waiting = [];
  #ended = false;
  #settle = () => {};
  onevent = () => {};
  onend = () => {};

  /** Connects and starts a session; settles with the `ready` message. */
  open(url, sampleRate, options = {}) {
    this.#sampleRate = sampleRate;
    return new Promise((resolve, reject) => {
      this.#socket = new WebSocket(url, ["tympan.v1.json"]);
      this.#socket.binaryType = "arraybuffer";
      this.#socket.onopen = () => {
        const audio = { encoding: "s16le", sample_rate: sampleRate, channels: 1 };
        this.#say({ type: "start", audio, ...options });
      };
      this.#socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "ready") this.#settle(null, message);
        this.#receive(message);
      };
      this.#socket.onclose = ({ code, reason }) => {
        const why = reason ? `: ${reason}` : "";
        this.#end(new TympanError("connection_lost", code === 1006
          ? "The connection to the server broke, or no server answers."
          : `The server closed the connection (${code}${why}).`, true));
      };
      const timer = setTimeout(() => {
        this.#end(new TympanError("unreachable", "The server did not answer.", true));
      }, OPEN_TIMEOUT_MS);
      this.#settle = (error, ready) => {
        clearTimeout(timer);
        if (error) reject(error);
        else resolve(ready);
      };
    });
  }

  /** Sends Int16Array samples; settles when the next may be sent. */
  async send(samples) {
    for (let at = 0; at < samples.length; at += MESSAGE_SAMPLES) {
      while (!this.#ended && this.#sent - this.#acknowledged > UNACKNOWLEDGED_S * this.#sampleRate) {
        await new Promise((resolve) => this.#waiting.push(resolve));
      }
      if (this.#ended) return;
      const piece = samples.subarray(at, at + MESSAGE_SAMPLES);
      this.#socket.send(piece);
      this.#sent += piece.length;
    }
  }

  /** No more audio: the last finals come, then the summary. */
  stop() {
    this.#say({ type: "stop" });
  }

  #say(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #receive(message) {
    if (message.type === "ack") {
      this.#acknowledged = message.sample;
      this.#wake();
    }
    this.onevent(message);
    if (message.type === "summary") this.#end(null);
    if (message.type === "error" && message.fatal !== false) {
      this.#end(new TympanError(message.code, message.message, message.retryable === true));
    }
  }

  #end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket?.close();
    this.#wake();
    this.#settle(error);
    this.onend(error);
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
