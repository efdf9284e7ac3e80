/**
 * Where sound comes from. Each source has `sampleRate`, `start(onchunk, onend)` and `stop()`: `onchunk(samples, level)`
 * gets Int16Array samples and their level in dB, and may return a promise, for which a file waits.
 */

import { SUPPORTED_RATES } from "./client.js";

const WANTED_RATE = 16000;
const CHUNK_S = 0.05;
const FAST_CHUNK_S = 0.5;

/** Something that the user can be told as it is. */
export class SourceError extends Error {}

/** Asks for the microphone. */
export async function openMicrophone() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new SourceError("The microphone is only available on https pages and on localhost.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true } });
  } catch (error) {
    throw new SourceError(microphoneProblem(error));
  }
  const { context, node } = contextFor(stream);
  await context.audioWorklet.addModule("capture-worklet.js");
  const capture = new AudioWorkletNode(context, "tympan-capture", {
    numberOfOutputs: 0,
    processorOptions: { chunkSamples: Math.round(context.sampleRate * CHUNK_S) },
  });
  return new Microphone(stream, context, node, capture);
}

function microphoneProblem(error) {
  switch (error.name) {
    case "NotAllowedError": return "The browser was not allowed to use the microphone. Allow it in the address bar and try again.";
    case "NotFoundError": return "No microphone was found. Connect one, or caption a file instead.";
    case "NotReadableError": return "The microphone is used by another program.";
    default: return `The microphone cannot be used (${error.message || error.name}).`;
  }
}

/** At 16 kHz where the browser resamples the microphone, else at the device's own rate where the service takes it. */
function contextFor(stream) {
  for (const options of [{ sampleRate: WANTED_RATE }, {}, { sampleRate: 48000 }]) {
    const context = new AudioContext(options);
    try {
      const node = context.createMediaStreamSource(stream);
      if (SUPPORTED_RATES.includes(context.sampleRate)) return { context, node };
    } catch {
      // This browser does not resample a microphone: the next rate may be the device's own.
    }
    context.close();
  }
  stream.getTracks().forEach((track) => track.stop());
  throw new SourceError("This browser gives the microphone at a sample rate that the service does not take.");
}

class Microphone {
  constructor(stream, context, node, capture) {
    this.sampleRate = context.sampleRate;
    this.stream = stream;
    this.context = context;
    this.node = node;
    this.capture = capture;
  }

  start(onchunk, onend) {
    this.capture.port.onmessage = ({ data }) => {
      if (data) {
        onchunk(data.samples, data.level);
        return;
      }
      this.context.close();
      onend();
    };
    this.stream.getAudioTracks()[0].onended = () => this.stop();
    this.node.connect(this.capture);
    this.context.resume();
  }

  stop() {
    this.capture.port.postMessage("stop");
    this.stream.getTracks().forEach((track) => track.stop());
  }
}

/** Decodes a file with the browser's decoders, to 16 kHz mono. With `audible`, it is played while it is sent. */
export async function openFile(file, audible) {
  let buffer;
  try {
    const decoder = new OfflineAudioContext(1, 1, WANTED_RATE);
    buffer = await decoder.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new SourceError(`${file.name} cannot be read as audio by this browser.`);
  }
  if (!buffer.length) throw new SourceError(`${file.name} has no sound in it.`);
  return new AudioFile(buffer, audible);
}

class AudioFile {
  constructor(buffer, audible) {
    this.sampleRate = buffer.sampleRate;
    this.buffer = buffer;
    this.audible = audible;
    this.running = true;
  }

  async start(onchunk, onend) {
    const samples = mixed(this.buffer);
    const player = this.audible ? this.#play() : null;
    const begin = performance.now();
    const step = Math.round(this.sampleRate * (this.audible ? CHUNK_S : FAST_CHUNK_S));
    for (let at = 0; at < samples.length && this.running; at += step) {
      const chunk = samples.subarray(at, at + step);
      await onchunk(toInt16(chunk), levelOf(chunk));
      if (this.audible) {
        const due = begin + (at + chunk.length) / this.sampleRate * 1000;
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      }
    }
    player?.close();
    onend();
  }

  stop() {
    this.running = false;
  }

  #play() {
    const context = new AudioContext();
    const node = context.createBufferSource();
    node.buffer = this.buffer;
    node.connect(context.destination);
    node.start();
    return context;
  }
}

function mixed(buffer) {
  const mix = new Float32Array(buffer.length);
  for (let c = 0; c < buffer.numberOfChannels; c++) {
    buffer.getChannelData(c).forEach((sample, i) => { mix[i] += sample / buffer.numberOfChannels; });
  }
  return mix;
}

function toInt16(samples) {
  return Int16Array.from(samples, (sample) => Math.round(Math.max(-1, Math.min(1, sample)) * 32767));
}

function levelOf(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return 10 * Math.log10(power + 1e-9);
}
