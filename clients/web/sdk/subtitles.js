/**
 * Utterances as text, SRT, WebVTT and JSON: the same as the server's own (`/v1/sessions/ID/transcript.*`).
 *
 * A cue has at most two lines of 42 characters and lasts at most 7 s (Netflix's "Timed Text Style Guide"). It ends with
 * a sentence or before a pause, and no text is left out to keep it short. Cues come in the order of their begin; of two
 * that would overlap (two people talk at once) the earlier one ends early.
 */

/** @import { Word } from "./types.js" */
/** @import { Utterance } from "./transcript.js" */

import { joinWords } from "./transcript.js";

const LINE_CHARS = 42;
const MAX_LINES = 2;
const MAX_CUE_MS = 7000;
const PAUSE_MS = 700;
/** Words may have no length; a cue must have one to be shown. */
const MIN_CUE_MS = 1;
const SENTENCE_END = /[.!?…。！？][)\]"'”’»]*$/;

/**
 * @typedef {Pick<Word, "text" | "start_ms" | "end_ms"> & {glued: boolean}} Piece a word, or a part of one that is too
 *   long for a line
 * @typedef {{start: number, end: number, lines: string[], label: string | null}} Cue
 */

/** One utterance in a line. @param {readonly Utterance[]} utterances @param {readonly string[]} [labels] */
export function plainText(utterances, labels = []) {
  return utterances.map(({ words, channel }) => {
    const label = labels[channel];
    return `${label ? `${label}: ` : ""}${joinWords(words)}\n`;
  }).join("");
}

/** SubRip. @param {readonly Utterance[]} utterances @param {readonly string[]} [labels] */
export function srt(utterances, labels = []) {
  return cues(utterances, labels, true).map(({ start, end, lines }, index) =>
    `${index + 1}\n${time(start, ",")} --> ${time(end, ",")}\n${lines.join("\n").replaceAll("-->", "->")}\n`
  ).join("\n");
}

/** WebVTT; a label becomes a voice span. @param {readonly Utterance[]} utterances @param {readonly string[]} [labels] */
export function webvtt(utterances, labels = []) {
  const blocks = cues(utterances, labels, false).map(({ start, end, lines, label }) => {
    const voice = label ? `<v ${escaped(oneLine(label))}>` : "";
    return `${time(start, ".")} --> ${time(end, ".")}\n${voice}${lines.map(escaped).join("\n")}\n`;
  });
  return ["WEBVTT\n", ...blocks].join("\n");
}

/** @param {readonly Utterance[]} utterances @param {readonly string[]} [labels] */
export function json(utterances, labels = []) {
  const written = utterances.map(({ id, channel, words, final, language }) => ({
    utterance: id,
    channel,
    label: labels[channel] ?? null,
    final,
    start_ms: words[0].start_ms,
    end_ms: words[words.length - 1].end_ms,
    language,
    text: joinWords(words),
    words: words.map(({ text, start_ms, end_ms, confidence, state, glued = false }) =>
      ({ text, start_ms, end_ms, confidence, state, glued })),
  }));
  return `${JSON.stringify({ utterances: written }, null, 2)}\n`;
}

/**
 * @param {readonly Utterance[]} utterances
 * @param {readonly string[]} labels
 * @param {boolean} labelInText
 */
function cues(utterances, labels, labelInText) {
  const made = utterances.flatMap(({ words, channel }) => {
    const label = labels[channel] ?? null;
    const prefix = label && labelInText ? `${[...oneLine(label)].slice(0, LINE_CHARS - 2).join("")}: ` : "";
    return groups(words, prefix).map((group) => cue(group, prefix, label));
  }).sort((a, b) => a.start - b.start);
  /** @type {Cue[]} */
  const apart = [];
  for (const one of made) {
    const before = apart[apart.length - 1];
    const start = before ? Math.max(one.start, before.start + MIN_CUE_MS) : one.start;
    if (before && before.end > start) before.end = start;
    apart.push({ ...one, start, end: Math.max(one.end, start + MIN_CUE_MS) });
  }
  return apart;
}

/** The pieces of each cue. @param {readonly Word[]} words @param {string} prefix */
function groups(words, prefix) {
  /** @type {Piece[][]} */
  const all = [];
  for (const piece of words.flatMap(pieces)) {
    const group = all[all.length - 1];
    if (!group || mustEnd(group, piece, prefix)) all.push([piece]);
    else group.push(piece);
  }
  return all;
}

/** The word in parts that fit into a line, with their share of its time. @param {Word} word @returns {Piece[]} */
function pieces({ text, start_ms, end_ms, glued = false }) {
  const chars = [...oneLine(text)];
  /** @param {number} at */
  const place = (at) => start_ms + Math.floor((end_ms - start_ms) * Math.min(at, chars.length) / chars.length);
  return chunks(chars).map((part, index) => ({
    text: part,
    start_ms: place(index * LINE_CHARS),
    end_ms: place((index + 1) * LINE_CHARS),
    glued: glued || index > 0,
  }));
}

/** @param {Piece[]} group @param {Piece} following @param {string} prefix */
function mustEnd(group, following, prefix) {
  const last = group[group.length - 1];
  if (following.end_ms - group[0].start_ms > MAX_CUE_MS || following.start_ms - last.end_ms >= PAUSE_MS) return true;
  if (SENTENCE_END.test(last.text) && !following.glued) return true;
  return lines([...group, following], prefix).length > MAX_LINES;
}

/** @param {Piece[]} group @param {string} prefix @param {string | null} label @returns {Cue} */
function cue(group, prefix, label) {
  const start = group[0].start_ms;
  const end = Math.max(Math.min(group[group.length - 1].end_ms, start + MAX_CUE_MS), start + MIN_CUE_MS);
  return { start, end, lines: lines(group, prefix), label };
}

/** Broken at spaces, or within glued words that are longer than a line. @param {Piece[]} group @param {string} prefix */
function lines(group, prefix) {
  const broken = [""];
  for (const run of (prefix + joinWords(group)).split(" ")) {
    const last = broken[broken.length - 1];
    const joined = last ? `${last} ${run}` : run;
    if ([...joined].length <= LINE_CHARS) {
      broken[broken.length - 1] = joined;
      continue;
    }
    if (!last) broken.pop();
    broken.push(...chunks([...run]));
  }
  return broken;
}

/** @param {string[]} chars */
function chunks(chars) {
  const parts = [];
  for (let at = 0; at < chars.length; at += LINE_CHARS) parts.push(chars.slice(at, at + LINE_CHARS).join(""));
  return parts;
}

/** A blank line would end the cue. @param {string} text */
function oneLine(text) {
  return text.replace(/\s+/g, " ").trim();
}

/** Which also keeps "-->" out. @param {string} text */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** @param {number} ms @param {string} point */
function time(ms, point) {
  const parts = [ms / 3600000, ms / 60000 % 60, ms / 1000 % 60].map((part) => String(Math.floor(part)).padStart(2, "0"));
  return `${parts.join(":")}${point}${String(ms % 1000).padStart(3, "0")}`;
}
