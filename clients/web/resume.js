/**
 * What makes one session out of several connections: what is sent again after a loss, what was heard already, and when
 * to try again. No sockets, no clock and no chance of its own: milliseconds and numbers of [0, 1) are given.
 *
 * The order of calls, for each connection: send what `start` gives; then for each message `receive` it and hand on what
 * that gives, if anything; and whenever something was received or taken, send what `next` gives until it gives null.
 * When the connection is lost, `lost`, and begin anew. `audio` (where `hasRoom`) and `command` are taken at any time.
 */

/** Seconds of audio that are kept, and may be under way: the server acknowledges each half second. */
export const KEPT_S = 30;
/** Audio is cut into messages of at most this many samples; half a second at 48 kHz. */
export const MESSAGE_SAMPLES = 24000;
const ENVELOPE_BYTES = 256;
const MAX_COMMANDS = 1024;
const KEPT = 1024;
/** With so much audio unacknowledged, an ack is due. */
const ANSWER_DUE_S = 1;
/** The last finals may take longer than an ack. */
const FINALS_TAKE_LONGER = 3;

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

export class TympanError extends Error {
  constructor(code, message, retryable = false, retryAfterMs = 0) {
    super(message);
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What it means that the connection closed and the server said nothing else. */
export function closedError(code, reason) {
  const why = reason ? `: ${reason}` : "";
  const said = code === 1006
    ? "The connection to the server broke, or no server answers."
    : `The server closed the connection (${code}${why}).`;
  if (LOSSES.includes(code)) return new TympanError("connection_lost", said, true);
  return new TympanError(reason || "connection_lost", said, code === SLOW_READER);
}

/** When to leave a server that said `goaway`: not all of its clients at the same moment. */
export function leaveAfterMs(deadlineMs, chance) {
  return deadlineMs * LEAVING_SHARE * chance;
}

/** Backoff with full jitter, inside a window that begins with the outage. */
export class Backoff {
  #failures = 0;
  #began = 0;
  #connected = null;

  constructor(windowMs) {
    this.windowMs = windowMs;
  }

  /** Milliseconds to wait before the next attempt; null: give up with this error. */
  delay(error, nowMs, chance) {
    if (!error.retryable) return null;
    if (this.#connected !== null && nowMs - this.#connected >= STEADY_MS) this.#failures = 0;
    this.#connected = null;
    if (!this.#failures) this.#began = nowMs;
    const left = this.#began + this.windowMs - nowMs;
    const wanted = error.retryAfterMs ?? 0;
    if (left <= 0 || wanted > left) return null;
    const spread = Math.min(CAP_MS, BASE_MS * 2 ** this.#failures);
    this.#failures++;
    return Math.min(left, wanted + chance * spread);
  }

  connected(nowMs) {
    this.#connected = nowMs;
  }

  /** The session got on. */
  acknowledged() {
    this.#failures = 0;
  }
}

/** What is said once only; null: it may be said again. */
function keyOf({ type, utterance, final = false, state, reason, channel = null, from_sample, to_sample, ...event }) {
  if (type === "transcript" && final) return `final ${utterance}`;
  if (type === "speech") return `speech ${state} ${utterance}`;
  if (type === "gap") return `gap ${reason} ${channel} ${from_sample} ${to_sample}`;
  if (type === "event") return JSON.stringify([event.label, channel, event.start_ms, event.end_ms, event.phase, event.source]);
  return null;
}

/**
 * Numbered messages once each; and nothing about which the same was said, however it is numbered: what a server said
 * while its store was away comes again with other numbers.
 */
class Novelty {
  lastSeq = 0;
  #told = new Set(); // the newest, in order
  #markers = [];

  /** It was taken from the application, and comes back once. */
  expectMarker(id) {
    this.#markers.push(id);
  }

  isNew(message) {
    const { type, seq = -1, utterance, id } = message;
    if (seq >= 0 && seq <= this.lastSeq) return false;
    this.lastSeq = Math.max(this.lastSeq, seq);
    if (type === "marker") return this.#reached(id);
    if (type === "transcript" && this.#told.has(`final ${utterance}`)) return false;
    const key = keyOf(message);
    if (key === null) return true;
    if (this.#told.has(key)) return false;
    this.#told.add(key);
    if (this.#told.size > KEPT) this.#told.delete(this.#told.values().next().value);
    return true;
  }

  #reached(id) {
    const index = this.#markers.indexOf(id);
    if (index >= 0) this.#markers.splice(index, 1); // names may be used again
    return index >= 0;
  }
}

export class ResumableSession {
  connected = false;
  finished = false;
  /** Number of the next attempt to resume, or the one under way, since the connection was lost. */
  attempts = 0;
  #chunks = []; // {first, samples}, without holes between them
  #commands = []; // {place, message}: all audio before that place goes before it
  #firstCommand = 0; // number of the oldest one that is held
  #taken = 0;
  #session = null;
  #token = null;
  #durable = true;
  #stopped = false;
  #novelty = new Novelty();
  // On this connection:
  #sent = 0; // samples before this one need no sending, or were sent
  #sentCommands = 0;
  #serverSample = 0; // where the server takes a binary message to go on
  #messageSamples = MESSAGE_SAMPLES;
  #base64Samples = MESSAGE_SAMPLES;
  #answerDueMs = null; // since when

  constructor(sampleRate, options = {}, keptSamples = KEPT_S * sampleRate) {
    this.sampleRate = sampleRate;
    this.options = options;
    this.keptSamples = keptSamples;
  }

  get canResume() {
    return this.#token !== null && !this.finished;
  }

  get opened() {
    return this.#session !== null;
  }

  /** The message that opens the session, or resumes it. */
  start() {
    const audio = { encoding: "s16le", sample_rate: this.sampleRate, channels: 1 };
    const resume = { session: this.#session, token: this.#token, last_seq: this.#novelty.lastSeq };
    return JSON.stringify({ type: "start", audio, ...this.options, ...(this.opened ? { resume } : {}) });
  }

  /** What the application is told: the message, or `reconnected` in place of a later `ready`; null: it knows it. */
  receive(message, nowMs) {
    const told = this.#receive(message);
    this.#answerDueMs = this.#answerIsDue() ? nowMs : null;
    return told;
  }

  /** The connection is gone, or could not be opened. What was taken and not acknowledged is kept. */
  lost() {
    this.connected = false;
    this.attempts++;
    this.#answerDueMs = null;
  }

  /**
   * False: wait for an ack, or for another connection, then ask again. Where the server cannot store audio it sends no
   * acks: then what was sent needs no room any more.
   */
  hasRoom(samples, onOverflow = "wait") {
    if (this.#held() + samples <= this.keptSamples) return true;
    if (!this.connected) return onOverflow === "drop";
    const chunk = this.#chunkAt(this.#sent);
    const unsent = chunk ? this.#taken - chunk.first : 0;
    return !this.#durable && unsent + samples <= this.keptSamples;
  }

  /** Takes Int16Array samples, placed next on the clock. Where they have no room the oldest audio goes. */
  audio(samples) {
    if (this.#stopped || !samples.length) return;
    while (this.#chunks.length && this.#held() + samples.length > this.keptSamples) this.#chunks.shift();
    this.#chunks.push({ first: this.#taken, samples });
    this.#taken += samples.length;
  }

  /** `marker`, `finalize`, `configure` or `stop`, at this place in the audio. */
  command(message) {
    if (this.#stopped) return;
    if (this.#commands.length === MAX_COMMANDS) {
      if (!this.connected || this.#sentCommands <= this.#firstCommand) {
        throw new TympanError("too_many_commands", "Too many commands wait for the connection.", true);
      }
      this.#forgetCommand();
    }
    this.#commands.push({ place: this.#taken, message });
    if (message.type === "marker") this.#novelty.expectMarker(message.id);
    this.#stopped = message.type === "stop";
  }

  /** What is to be sent now, in the order in which it was taken: text, or Int16Array samples; null: nothing. */
  next(nowMs) {
    const payload = this.connected ? this.#next() : null;
    if (payload !== null && this.#answerIsDue()) this.#answerDueMs ??= nowMs;
    return payload;
  }

  /** An answer is due for so long that nobody is there any more. */
  isSilent(nowMs, silenceMs) {
    if (this.#answerDueMs === null) return false;
    return nowMs - this.#answerDueMs > silenceMs * (this.#stopWasSent() ? FINALS_TAKE_LONGER : 1);
  }

  #receive(message) {
    switch (message.type) {
      case "ready":
        return this.#open(message);
      case "ack":
        this.#acknowledge(message.sample, message.commands ?? 0);
        return message;
      case "load":
        this.#durable = message.durable ?? true;
        return message;
      case "goaway":
        return message;
      case "error":
        if (message.fatal ?? true) {
          this.connected = false;
          this.finished = !message.retryable;
          return message;
        }
    }
    if (!this.#novelty.isNew(message)) return null;
    this.finished = message.type === "summary";
    return message;
  }

  #open(ready) {
    const resuming = this.opened;
    const sample = ready.next_sample ?? 0;
    const commands = ready.commands ?? 0;
    this.#session = ready.session;
    this.#token = ready.resume_token ?? this.#token;
    this.connected = this.#durable = true;
    this.#acknowledge(sample, commands);
    this.#firstCommand = commands;
    this.#sent = this.#serverSample = sample;
    this.#sentCommands = commands;
    const room = ready.max_message_bytes - ENVELOPE_BYTES;
    this.#messageSamples = Math.max(1, Math.min(MESSAGE_SAMPLES, Math.floor(room / 2)));
    this.#base64Samples = Math.max(1, Math.min(MESSAGE_SAMPLES, Math.floor(room * 3 / 8)));
    const { attempts } = this;
    this.attempts = 0;
    if (!resuming) return ready;
    const lost = Math.max(0, this.#taken - this.#held() - sample);
    return { type: "reconnected", attempts, lost_ms: lost / this.sampleRate * 1000 };
  }

  #next() {
    const chunk = this.#chunkAt(this.#sent);
    const number = Math.max(this.#sentCommands, this.#firstCommand);
    const command = this.#commands[number - this.#firstCommand];
    if (command && (!chunk || command.place <= Math.max(this.#sent, chunk.first))) {
      this.#sentCommands = number + 1;
      return JSON.stringify(command.message);
    }
    if (!chunk) return null;
    const begin = Math.max(chunk.first, this.#sent);
    const continues = begin === this.#serverSample;
    const from = begin - chunk.first;
    const piece = chunk.samples.subarray(from, from + (continues ? this.#messageSamples : this.#base64Samples));
    this.#sent = this.#serverSample = begin + piece.length;
    return continues ? piece : JSON.stringify({ type: "audio", first_sample: begin, data: base64(piece) });
  }

  #acknowledge(sample, commands) {
    while (this.#chunks.length && this.#chunks[0].first + this.#chunks[0].samples.length <= sample) this.#chunks.shift();
    while (this.#commands.length && this.#firstCommand < commands) this.#forgetCommand();
  }

  #forgetCommand() {
    this.#commands.shift();
    this.#firstCommand++;
  }

  #held() {
    return this.#chunks.length ? this.#taken - this.#chunks[0].first : 0;
  }

  #chunkAt(sample) {
    return this.#chunks.find(({ first, samples }) => first + samples.length > sample);
  }

  #stopWasSent() {
    return this.#stopped && this.#sentCommands === this.#firstCommand + this.#commands.length;
  }

  #answerIsDue() {
    if (!this.connected) return false;
    const unanswered = this.#sent - (this.#taken - this.#held());
    return this.#stopWasSent() || (this.#durable && unanswered >= ANSWER_DUE_S * this.sampleRate);
  }
}

function base64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
