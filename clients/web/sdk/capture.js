/** Live sources: a microphone, the sound of a tab, or both as two channels. An AudioWorklet makes 16 kHz of any rate. */

import { SourceError } from "./errors.js";
import { SAMPLE_RATE, Source } from "./source.js";

/** @import { Sink } from "./source.js" */

const CHUNK_S = 0.05;
const WORKLET = new URL("./capture-worklet.js", import.meta.url);

/** Streams of the browser, one channel each. */
class CaptureSource extends Source {
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AudioWorkletNode | null} */
  #worklet = null;
  /** @type {AudioNode[]} what the streams are connected to, one per channel */
  #inputs = [];
  /** @type {{stream: MediaStream, node: MediaStreamAudioSourceNode}[]} */
  #streams = [];
  #stopped = false;

  /** @param {MediaStream[]} streams each is mixed to one channel */
  async listen(streams) {
    const channels = streams.length;
    try {
      const context = this.#context = new AudioContext({ latencyHint: "interactive" });
      await context.audioWorklet.addModule(WORKLET);
      const worklet = this.#worklet = new AudioWorkletNode(context, "tympan-capture", {
        numberOfOutputs: 0,
        processorOptions: { outputRate: SAMPLE_RATE, channels, chunkSamples: SAMPLE_RATE * CHUNK_S },
      });
      this.#inputs = channels === 1 ? [worklet] : mergers(context, worklet, channels);
    } catch (error) {
      stopTracks(streams);
      this.#context?.close();
      throw new SourceError("failed", `This browser cannot take in sound (${error}).`);
    }
    streams.forEach((stream, channel) => this.put(channel, stream));
    this.format = { ...this.format, channels };
  }

  /**
   * Puts a stream in the place of the one that a channel has.
   * @param {number} channel
   * @param {MediaStream} stream
   */
  put(channel, stream) {
    const context = /** @type {AudioContext} */ (this.#context);
    const before = this.#streams[channel];
    if (before) {
      before.node.disconnect();
      stopTracks([before.stream]);
    }
    let node;
    try {
      node = context.createMediaStreamSource(stream);
    } catch (error) {
      stopTracks([stream]);
      throw new SourceError("failed", `This browser cannot listen to this device (${error}).`);
    }
    node.connect(this.#inputs[channel]);
    this.#streams[channel] = { stream, node };
    stream.getAudioTracks()[0].onended = () => this.lost(channel);
  }

  /**
   * A device is gone, or somebody ended the sharing.
   * @param {number} channel
   */
  lost(channel) {
    this.finish(new SourceError("missing", channel ? "The other sound has ended." : "The sound has ended."));
  }

  /** @override @param {Sink} sink */
  start(sink) {
    const worklet = /** @type {AudioWorkletNode} */ (this.#worklet);
    worklet.port.onmessage = ({ data }) => {
      if (data) {
        this.give(sink, data.samples, data.levels);
        return;
      }
      this.#context?.close();
      this.ended(this.#why);
    };
    this.#context?.resume();
  }

  /** @override */
  stop() {
    this.finish(null);
  }

  /** @type {Error | null} */
  #why = null;

  /** @param {Error | null} why */
  finish(why) {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#why = why;
    this.#worklet?.port.postMessage("stop");
    stopTracks(this.#streams.map(({ stream }) => stream));
  }
}

/**
 * @typedef {object} MicrophoneSettings
 * @property {string} [deviceId] of `MicrophoneSource.devices`; "" is the system's choice
 * @property {boolean} [echoCancellation] true: what the loudspeakers play is taken out
 * @property {boolean} [noiseSuppression] false: speech recognition does better without
 * @property {boolean} [autoGainControl] true
 */

export class MicrophoneSource extends CaptureSource {
  /** @type {MicrophoneSettings} */
  settings;

  /** @param {MicrophoneSettings} [settings] */
  constructor(settings = {}) {
    super();
    this.settings = settings;
  }

  /** Microphones, by name once one was allowed. @returns {Promise<{id: string, label: string}[]>} */
  static async devices() {
    const all = await navigator.mediaDevices?.enumerateDevices() ?? [];
    return all
      .filter(({ kind, deviceId }) => kind === "audioinput" && deviceId && deviceId !== "default")
      .map(({ deviceId, label }, index) => ({ id: deviceId, label: label || `Microphone ${index + 1}` }));
  }

  /** @override */
  async open() {
    await this.listen([await microphone(this.settings)]);
  }

  /**
   * Goes on with other settings, another device for example.
   * @param {MicrophoneSettings} settings
   */
  async change(settings) {
    this.settings = { ...this.settings, ...settings };
    this.put(0, await microphone(this.settings));
  }
}

/** What a tab or the system plays; the browser asks which. */
export class TabAudioSource extends CaptureSource {
  /** @override */
  async open() {
    await this.listen([await tabAudio()]);
  }
}

/** A conversation of this side's microphone and the other side's tab: two channels. */
export class CallSource extends CaptureSource {
  /** @param {MicrophoneSettings} [settings] @param {string[]} [labels] of the microphone and of the tab */
  constructor(settings = {}, labels = ["me", "other"]) {
    super();
    this.settings = settings;
    this.labels = labels;
  }

  /** @override */
  async open() {
    const other = await tabAudio(); // first, as it needs the user's click
    try {
      await this.listen([await microphone(this.settings), other]);
    } catch (error) {
      stopTracks([other]);
      throw error;
    }
    this.format = { ...this.format, labels: this.labels };
  }
}

/** @param {MicrophoneSettings} settings */
async function microphone({ deviceId = "", echoCancellation = true, noiseSuppression = false, autoGainControl = true }) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new SourceError("insecure", "Browsers give the microphone only to https pages and to localhost.");
  }
  const device = deviceId ? { deviceId: { exact: deviceId } } : {};
  const audio = { channelCount: 1, echoCancellation, noiseSuppression, autoGainControl, ...device };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw microphoneProblem(/** @type {DOMException} */ (error));
  }
}

/** @param {DOMException} error */
function microphoneProblem({ name, message }) {
  switch (name) {
    case "NotAllowedError":
      return new SourceError("denied", "The browser was not allowed to use the microphone.");
    case "NotFoundError":
    case "OverconstrainedError":
      return new SourceError("missing", "No microphone was found.");
    case "NotReadableError":
      return new SourceError("busy", "Another program uses the microphone.");
  }
  return new SourceError("failed", `The microphone cannot be used (${message || name}).`);
}

async function tabAudio() {
  if (!navigator.mediaDevices?.getDisplayMedia) {
    throw new SourceError("unsupported", "This browser cannot share the sound of a tab.");
  }
  let stream;
  try {
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getDisplayMedia({ audio, video: true });
  } catch (error) {
    const { name, message } = /** @type {DOMException} */ (error);
    if (name === "NotAllowedError") throw new SourceError("denied", "Nothing was shared.");
    throw new SourceError("failed", `The sound cannot be shared (${message || name}).`);
  }
  for (const track of stream.getVideoTracks()) {
    track.enabled = false; // ending it would end the sharing
  }
  if (!stream.getAudioTracks().length) {
    stopTracks([stream]);
    throw new SourceError("silent", "The tab was shared without its sound: tick “share tab audio” in the browser’s dialog.");
  }
  return stream;
}

/** Nodes that mix to mono, each on a channel of its own. @param {AudioContext} context @param {AudioNode} into @param {number} channels */
function mergers(context, into, channels) {
  const merger = new ChannelMergerNode(context, { numberOfInputs: channels });
  merger.connect(into);
  return Array.from({ length: channels }, (_, channel) => {
    const mono = new GainNode(context, { channelCount: 1, channelCountMode: "explicit" });
    mono.connect(merger, 0, channel);
    return mono;
  });
}

/** @param {MediaStream[]} streams */
function stopTracks(streams) {
  for (const stream of streams) for (const track of stream.getTracks()) track.stop();
}
