/** Where sound can come from, by name. */

/** @import { Source } from "../sdk/source.js" */

import { CallSource, FileSource, MicrophoneSource, TabAudioSource } from "../sdk/index.js";
import { $ } from "./dom.js";
import { settings } from "./settings.js";

const OF_A_DEVICE = "microphone:";

/** The names of microphones are known once one was allowed. */
export async function offerSources() {
  const select = /** @type {HTMLSelectElement} */ ($("source"));
  const devices = await MicrophoneSource.devices();
  const options = [new Option("Microphone", "microphone")];
  if (devices.length > 1) options.push(...devices.map(({ id, label }) => new Option(label, OF_A_DEVICE + id)));
  if ("getDisplayMedia" in (navigator.mediaDevices ?? {})) {
    options.push(new Option("Sound of a tab", "tab"), new Option("Call: microphone and a tab", "call"));
  }
  select.replaceChildren(...options);
  select.value = options.some(({ value }) => value === settings.source) ? settings.source : "microphone";
}

/** @param {string} name @returns {Source} */
export function sourceOf(name) {
  const { echoCancellation, noiseSuppression, autoGainControl, labels } = settings;
  const microphone = { deviceId: deviceOf(name), echoCancellation, noiseSuppression, autoGainControl };
  if (name === "tab") return new TabAudioSource();
  if (name === "call") return new CallSource(microphone, labels);
  return new MicrophoneSource(microphone);
}

/** @param {File} file */
export function sourceOfFile(file) {
  const { audible, split, labels } = settings;
  return new FileSource(file, { audible, split, labels });
}

/** "" is the system's choice. @param {string} name */
export function deviceOf(name) {
  return name.startsWith(OF_A_DEVICE) ? name.slice(OF_A_DEVICE.length) : "";
}
