/** What is heard beside words, as chips: what to call it, what kind it is, and which messages are about the same. */

/** @import { Analysis, CallEvent, SoundEvent } from "./types.js" */

/**
 * @typedef {object} Chip
 * @property {string} key of all messages about the same
 * @property {string} text
 * @property {"sound" | "tone" | "call" | "quiet" | "answer"} kind
 * @property {number | null} channel
 * @property {number} start
 * @property {number | null} end null: it goes on, or is a moment
 * @property {boolean} live it goes on
 */

/** @type {Record<string, string>} */
const NAMES = {
  dial_tone: "Dial tone",
  fax_ced: "Fax answers",
  fax_cng: "Fax calls",
  no_speech: "No speech",
  ringback: "Ringing",
  sit: "Special information tone",
  dead_air: "Dead air",
  hold: "On hold",
  interruption: "Interruption",
  talk_over: "Talk-over",
};

/** @param {SoundEvent} message @returns {Chip | null} null: nothing new of a chip that is there */
export function soundChip({ label, channel, start_ms: start, end_ms: end = null, phase = "instant", source = "tagger" }) {
  if (phase === "update") return null;
  const kind = source === "endpointing" ? "quiet" : source === "tones" || source === "signalling" ? "tone" : "sound";
  // A tone may be named better when it ends.
  const key = source === "tones" ? `tone ${channel} ${start}` : `${source} ${channel} ${start} ${label}`;
  return { key, text: soundName(label), kind, channel, start, end, live: phase === "start" };
}

/** @param {CallEvent} message @returns {Chip} */
export function callChip({ kind, phase = "instant", channel = null, start_ms: start, end_ms: end = null, keyword, reason }) {
  const name = kind === "keyword" ? `“${keyword}”` : NAMES[kind] ?? plain(kind);
  const text = kind === "hold" && reason ? `${name} (${reason})` : name;
  const key = `call ${kind} ${channel} ${start} ${keyword ?? ""}`;
  return { key, text, kind: kind === "dead_air" ? "quiet" : "call", channel, start, end, live: phase === "start" };
}

/** @param {Analysis} message @returns {Chip | null} */
export function answerChip({ task, index, utterance, channel, start_ms: start, end_ms: end, labels = [], text = "", error }) {
  const answer = labels.length ? labels.join(", ") : text;
  if (error || !answer) return null;
  const key = `answer ${utterance} ${index}`;
  return { key, text: `${plain(task)}: ${answer}`, kind: "answer", channel, start, end, live: false };
}

/** A label for people. @param {string} label */
export function soundName(label) {
  const digit = /^dtmf_(.)$/.exec(label);
  if (digit) return `Key ${digit[1]}`;
  return NAMES[label] ?? plain(label);
}

/** @param {string} name */
function plain(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Minutes and seconds, and hours where there are some. @param {number} ms */
export function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, index) => (index ? String(part).padStart(2, "0") : String(part))).join(":");
}
