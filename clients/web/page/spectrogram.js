/**
 * What is heard, drawn: the newest seconds as a spectrogram that moves, speech underlined, and marks where something else
 * was heard. Everything stands at its place on the session's clock.
 */

/** @import { Speech } from "../sdk/types.js" */
/** @import { Chip } from "../sdk/sounds.js" */

import { Spectrum } from "./fft.js";

const RATE = 16000;
const SIZE = 512;
const HOP = 320;
const HOP_MS = HOP / RATE * 1000;
const BANDS = 56;
const LOWEST_HZ = 80;
const FLOOR_DB = -92;
const CEILING_DB = -28;
const PIXELS_PER_S = 100;
const COLUMNS = 1024;
const MAX_MARKS = 100;

export class Spectrogram {
  #context;
  #ring = document.createElement("canvas");
  #ringContext;
  /** What the ring shows, 0 to 255, column after column: for other colours. */
  #shades = new Uint8Array(COLUMNS * BANDS);
  #spectrum = new Spectrum(SIZE);
  #samples = new Float32Array(SIZE);
  #filled = 0;
  /** Columns drawn so far. */
  #column = 0;
  #beganMs = 0;
  #heardAt = 0;
  #running = false;
  /** @type {{channel: number, start: number, end: number | null}[]} */
  #speech = [];
  /** @type {Map<string, Chip>} */
  #marks = new Map();
  #image;
  #palette = new Uint8ClampedArray(256 * 4);
  #colours = { ink: "", accent: "", wash: "", other: "" };

  /** @param {HTMLCanvasElement} canvas its colours: `color` of speech and loud sound, `background-color`, `outline-color` of text */
  constructor(canvas) {
    this.canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.#ring.width = COLUMNS;
    this.#ring.height = BANDS;
    this.#ringContext = /** @type {CanvasRenderingContext2D} */ (this.#ring.getContext("2d", { willReadFrequently: true }));
    this.#image = this.#ringContext.createImageData(1, BANDS);
    this.bands = Array.from({ length: BANDS + 1 }, (_, i) => hertz(mel(LOWEST_HZ) + (mel(RATE / 2) - mel(LOWEST_HZ)) * i / BANDS) / RATE * SIZE);
    new ResizeObserver(() => this.#fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
  }

  /** @param {number} atMs of the session: where the next sample stands */
  begin(atMs) {
    this.#shades.fill(0);
    this.#column = this.#filled = 0;
    this.recolour();
    this.#beganMs = atMs;
    this.#heardAt = performance.now();
    this.#speech = [];
    this.#marks.clear();
    this.#running = true;
    this.#draw();
  }

  end() {
    this.#running = false;
  }

  /** @param {Int16Array} samples interleaved @param {number} channels they are mixed */
  hear(samples, channels) {
    for (let at = 0; at < samples.length; at += channels) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += samples[at + c];
      this.#samples[this.#filled++] = sum / channels / 32768;
      if (this.#filled < SIZE) continue;
      this.#paint(this.#spectrum.of(this.#samples));
      this.#samples.copyWithin(0, HOP);
      this.#filled = SIZE - HOP;
    }
    this.#heardAt = performance.now();
  }

  /** @param {Speech} message */
  speech({ channel, state, at_ms: at }) {
    const open = this.#speech.findLast((one) => one.channel === channel && one.end === null);
    if (state === "ended" && open) open.end = at;
    if (state === "started" && !open) this.#speech.push({ channel, start: at, end: null });
    if (this.#speech.length > MAX_MARKS) this.#speech.shift();
  }

  /** @param {Chip} chip */
  mark(chip) {
    this.#marks.set(chip.key, chip);
    for (const oldest of this.#marks.keys()) {
      if (this.#marks.size <= MAX_MARKS) break;
      this.#marks.delete(oldest);
    }
  }

  recolour() {
    const style = getComputedStyle(this.canvas);
    const [low, high] = [rgb(style.backgroundColor), rgb(style.color)];
    this.#colours = { ink: style.outlineColor, accent: style.color, wash: style.backgroundColor, other: style.caretColor };
    for (let i = 0; i < 256; i++) {
      const share = (i / 255) ** 1.3;
      for (let c = 0; c < 3; c++) this.#palette[4 * i + c] = low[c] + (high[c] - low[c]) * share;
      this.#palette[4 * i + 3] = 255;
    }
    for (let column = 0; column < Math.min(this.#column, COLUMNS); column++) this.#put(column);
    if (!this.#running) this.#show();
  }

  #fit() {
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * scale);
    this.canvas.height = Math.round(this.canvas.clientHeight * scale);
    if (!this.#running && this.#column) this.#show();
  }

  /** One column. @param {Float32Array} power */
  #paint(power) {
    const column = this.#column++ % COLUMNS;
    for (let band = 0; band < BANDS; band++) {
      const from = Math.floor(this.bands[band]);
      const until = Math.max(from + 1, Math.ceil(this.bands[band + 1]));
      let loudest = 0;
      for (let bin = from; bin < until && bin < power.length; bin++) loudest = Math.max(loudest, power[bin]);
      const db = 10 * Math.log10(loudest + 1e-12);
      const share = Math.max(0, Math.min(1, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
      this.#shades[column * BANDS + band] = Math.round(255 * share);
    }
    this.#put(column);
  }

  /** @param {number} column of the ring */
  #put(column) {
    for (let band = 0; band < BANDS; band++) {
      const shade = this.#shades[column * BANDS + band];
      this.#image.data.set(this.#palette.subarray(4 * shade, 4 * shade + 4), 4 * (BANDS - 1 - band));
    }
    this.#ringContext.putImageData(this.#image, column, 0);
  }

  #draw() {
    if (!this.#running) return;
    this.#show();
    requestAnimationFrame(() => this.#draw());
  }

  #show() {
    const { width, height } = this.canvas;
    const context = this.#context;
    const scale = devicePixelRatio || 1;
    const perMs = PIXELS_PER_S * scale / 1000;
    const drawnMs = this.#beganMs + (this.#column - 1) * HOP_MS + SIZE / RATE * 500;
    // Sound comes in pieces; between them time goes on, for a moment.
    const nowMs = drawnMs + (this.#running ? Math.min(60, performance.now() - this.#heardAt) - 60 : 0);
    /** @param {number} ms */
    const x = (ms) => width - (nowMs - ms) * perMs;
    context.clearRect(0, 0, width, height);
    const count = Math.min(this.#column, COLUMNS - 1, Math.ceil(width / perMs / HOP_MS) + 8);
    for (let i = this.#column - count; i < this.#column;) {
      const from = i % COLUMNS;
      const length = Math.min(this.#column - i, COLUMNS - from);
      const left = x(this.#beganMs + i * HOP_MS);
      context.drawImage(this.#ring, from, 0, length, BANDS, left, 0, length * HOP_MS * perMs, height - 5 * scale);
      i += length;
    }
    this.#showSpeech(x, nowMs, scale);
    this.#showMarks(x, scale);
  }

  /** @param {(ms: number) => number} x @param {number} nowMs @param {number} scale */
  #showSpeech(x, nowMs, scale) {
    const { height } = this.canvas;
    for (const { channel, start, end } of this.#speech) {
      this.#context.fillStyle = channel ? this.#colours.other : this.#colours.accent;
      const left = x(start);
      this.#context.fillRect(left, height - (channel ? 2 : 5) * scale, x(end ?? nowMs) - left, 2 * scale);
    }
  }

  /** @param {(ms: number) => number} x @param {number} scale */
  #showMarks(x, scale) {
    const context = this.#context;
    context.font = `600 ${11 * scale}px system-ui, sans-serif`;
    context.textBaseline = "top";
    let free = [-Infinity, -Infinity, -Infinity];
    for (const { start, text } of [...this.#marks.values()].sort((a, b) => a.start - b.start)) {
      const left = x(start);
      const width = context.measureText(text).width + 8 * scale;
      if (left + width < 0) continue;
      const row = Math.max(0, free.findIndex((until) => until <= left));
      free[row] = left + width;
      context.fillStyle = this.#colours.ink;
      context.fillRect(left, 0, scale, this.canvas.height - 5 * scale);
      context.globalAlpha = 0.85;
      context.fillStyle = this.#colours.wash;
      context.fillRect(left + scale, (2 + row * 15) * scale, width, 14 * scale);
      context.globalAlpha = 1;
      context.fillStyle = this.#colours.ink;
      context.fillText(text, left + 5 * scale, (4 + row * 15) * scale);
    }
  }
}

/** @param {number} hz */
function mel(hz) {
  return 2595 * Math.log10(1 + hz / 700);
}

/** @param {number} value */
function hertz(value) {
  return 700 * (10 ** (value / 2595) - 1);
}

/** @param {string} colour as computed styles have it */
function rgb(colour) {
  const [r = 0, g = 0, b = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  return [r, g, b];
}
