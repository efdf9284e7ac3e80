/**
 * What makes one session out of several connections: what is sent again after a loss, and what was heard already. No
 * sockets and no clock: milliseconds are given.
 *
 * The order of calls, for each connection: send what `start` gives; then for each message `receive` it and hand on what
 * that gives, if anything; and whenever something was received or taken, send what `next` gives until it gives null.
 * When the connection is lost, `lost`, and begin anew. `audio` (where `hasRoom`) and `command` are taken at any time.
 *
 * Positions count samples per channel; audio is Int16Array, interleaved where there are two channels.
 */

/** @import { Command, Message, Ready, SavedSession, ServerMessage, SourceFormat } from "./types.js" */

import { decodeBase64, encodeBase64 } from "./base64.js";
import { TympanError } from "./errors.js";
import { Novelty } from "./novelty.js";

/** Seconds of audio that are kept, and may be under way: the server acknowledges each half second. */
export const KEPT_S = 30;
/** Audio is cut into messages of at most this many samples; half a second at 48 kHz. */
export const MESSAGE_SAMPLES = 24000;
const ENVELOPE_BYTES = 256;
const MAX_COMMANDS = 1024;
/** With so much audio unacknowledged, an ack is due. */
const ANSWER_DUE_S = 1;
/** The last finals may take longer than an ack. */
const FINALS_TAKE_LONGER = 3;

export class ResumableSession {
  connected = false;
  finished = false;
  /** Number of the next attempt to resume, or the one under way, since the connection was lost. */
  attempts = 0;
  /** @type {{first: number, samples: Int16Array}[]} without holes between them */
  #chunks = [];
  /** @type {{place: number, message: Command}[]} all audio before that place goes before it */
  #commands = [];
  #firstCommand = 0; // number of the oldest one that is held
  #taken = 0;
  /** @type {string | null} */
  #session = null;
  /** @type {string | null} */
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
  /** @type {number | null} since when */
  #answerDueMs = null;

  /**
   * @param {SourceFormat} format
   * @param {Record<string, unknown>} [options] fields of `start`
   * @param {number} [keptSamples] of each channel
   */
  constructor(format, options = {}, keptSamples = KEPT_S * format.sampleRate) {
    this.format = { channels: 1, labels: null, ...format };
    this.options = options;
    this.keptSamples = keptSamples;
  }

  /** @param {SavedSession} saved */
  static restored(saved) {
    const session = new ResumableSession(saved.format, saved.options);
    session.#session = saved.session;
    session.#token = saved.token;
    session.#novelty.lastSeq = saved.lastSeq;
    session.#taken = saved.first;
    const bytes = decodeBase64(saved.audio);
    session.audio(new Int16Array(bytes.buffer, 0, bytes.byteLength >> 1));
    session.#firstCommand = saved.firstCommand;
    for (const { message } of saved.commands) if (message.type === "marker") session.#novelty.expectMarker(message.id ?? "");
    session.#commands = saved.commands;
    return session;
  }

  /** For another page that goes on with the session; null where that cannot be. @returns {SavedSession | null} */
  save() {
    if (!this.canResume || this.#stopped || this.#session === null || this.#token === null) return null;
    const held = new Int16Array(this.#held() * this.format.channels);
    let at = 0;
    for (const { samples } of this.#chunks) {
      held.set(samples, at);
      at += samples.length;
    }
    return {
      format: this.format,
      options: this.options,
      session: this.#session,
      token: this.#token,
      lastSeq: this.#novelty.lastSeq,
      first: this.#taken - this.#held(),
      audio: encodeBase64(held),
      firstCommand: this.#firstCommand,
      commands: this.#commands,
    };
  }

  get id() {
    return this.#session;
  }

  get canResume() {
    return this.#token !== null && !this.finished;
  }

  get opened() {
    return this.#session !== null;
  }

  /** Samples taken so far: the position of the next one. */
  get taken() {
    return this.#taken;
  }

  /** Milliseconds of audio that would be sent again. */
  get heldMs() {
    return this.#held() / this.format.sampleRate * 1000;
  }

  /** The highest number of a message that was heard, here or by a viewer of the session. */
  get lastSeq() {
    return this.#novelty.lastSeq;
  }

  set lastSeq(seq) {
    this.#novelty.lastSeq = Math.max(seq, this.#novelty.lastSeq);
  }

  /** The message that opens the session, or resumes it. */
  start() {
    const { sampleRate, channels, labels } = this.format;
    const audio = { encoding: "s16le", sample_rate: sampleRate, channels, ...(labels ? { labels } : {}) };
    const resume = { session: this.#session, token: this.#token, last_seq: this.#novelty.lastSeq };
    return JSON.stringify({ type: "start", audio, ...this.options, ...(this.opened ? { resume } : {}) });
  }

  /**
   * What the application is told: the message, or `reconnected` in place of a later `ready`; null: it knows it.
   * @param {ServerMessage} message
   * @param {number} nowMs
   * @returns {Message | null}
   */
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
   * @param {number} samples
   * @param {"wait" | "drop"} [onOverflow]
   */
  hasRoom(samples, onOverflow = "wait") {
    if (this.#held() + samples <= this.keptSamples) return true;
    if (!this.connected) return onOverflow === "drop";
    const chunk = this.#chunkAt(this.#sent);
    const unsent = chunk ? this.#taken - chunk.first : 0;
    return !this.#durable && unsent + samples <= this.keptSamples;
  }

  /**
   * Takes audio, placed next on the clock. Where it has no room the oldest goes.
   * @param {Int16Array} samples
   */
  audio(samples) {
    if (this.#stopped || !samples.length) return;
    const length = samples.length / this.format.channels;
    while (this.#chunks.length && this.#held() + length > this.keptSamples) this.#chunks.shift();
    this.#chunks.push({ first: this.#taken, samples });
    this.#taken += length;
  }

  /**
   * `marker`, `finalize`, `configure` or `stop`, at this place in the audio.
   * @param {Command} message
   */
  command(message) {
    if (this.#stopped) return;
    if (this.#commands.length === MAX_COMMANDS) {
      if (!this.connected || this.#sentCommands <= this.#firstCommand) {
        throw new TympanError("too_many_commands", "Too many commands wait for the connection.", true);
      }
      this.#forgetCommand();
    }
    this.#commands.push({ place: this.#taken, message });
    if (message.type === "marker") this.#novelty.expectMarker(message.id ?? "");
    this.#stopped = message.type === "stop";
  }

  /**
   * What is to be sent now, in the order in which it was taken: text, or samples; null: nothing.
   * @param {number} nowMs
   */
  next(nowMs) {
    const payload = this.connected ? this.#next() : null;
    if (payload !== null && this.#answerIsDue()) this.#answerDueMs ??= nowMs;
    return payload;
  }

  /**
   * An answer is due for so long that nobody is there any more.
   * @param {number} nowMs
   * @param {number} silenceMs
   */
  isSilent(nowMs, silenceMs) {
    if (this.#answerDueMs === null) return false;
    return nowMs - this.#answerDueMs > silenceMs * (this.#stopWasSent() ? FINALS_TAKE_LONGER : 1);
  }

  /** @param {ServerMessage} message @returns {Message | null} */
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

  /** @param {Ready} ready @returns {Message} */
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
    const room = (ready.max_message_bytes - ENVELOPE_BYTES) / this.format.channels;
    this.#messageSamples = Math.max(1, Math.min(MESSAGE_SAMPLES, Math.floor(room / 2)));
    this.#base64Samples = Math.max(1, Math.min(MESSAGE_SAMPLES, Math.floor(room * 3 / 8)));
    const { attempts } = this;
    this.attempts = 0;
    if (!resuming) return ready;
    const lost = Math.max(0, this.#taken - this.#held() - sample);
    return { type: "reconnected", attempts, lost_ms: lost / this.format.sampleRate * 1000 };
  }

  #next() {
    const { channels } = this.format;
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
    const until = from + (continues ? this.#messageSamples : this.#base64Samples);
    const piece = chunk.samples.subarray(from * channels, until * channels);
    this.#sent = this.#serverSample = begin + piece.length / channels;
    return continues ? piece : JSON.stringify({ type: "audio", first_sample: begin, data: encodeBase64(piece) });
  }

  /** @param {number} sample @param {number} commands */
  #acknowledge(sample, commands) {
    while (this.#chunks.length && this.#end(this.#chunks[0]) <= sample) this.#chunks.shift();
    while (this.#commands.length && this.#firstCommand < commands) this.#forgetCommand();
  }

  #forgetCommand() {
    this.#commands.shift();
    this.#firstCommand++;
  }

  #held() {
    return this.#chunks.length ? this.#taken - this.#chunks[0].first : 0;
  }

  /** @param {number} sample */
  #chunkAt(sample) {
    return this.#chunks.find((chunk) => this.#end(chunk) > sample);
  }

  /** @param {{first: number, samples: Int16Array}} chunk */
  #end({ first, samples }) {
    return first + samples.length / this.format.channels;
  }

  #stopWasSent() {
    return this.#stopped && this.#sentCommands === this.#firstCommand + this.#commands.length;
  }

  #answerIsDue() {
    if (!this.connected) return false;
    const unanswered = this.#sent - (this.#taken - this.#held());
    return this.#stopWasSent() || (this.#durable && unanswered >= ANSWER_DUE_S * this.format.sampleRate);
  }
}
