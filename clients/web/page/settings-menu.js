/** The menu “Sound”, and “View” with it. */

/** @import { Source } from "../sdk/source.js" */

import { MicrophoneSource } from "../sdk/capture.js";
import { $, toast } from "./dom.js";
import { connectLook } from "./look-menu.js";
import { change, settings } from "./settings.js";

const OF_MICROPHONE = /** @type {const} */ (["echoCancellation", "noiseSuppression", "autoGainControl"]);
const OF_RECORDINGS = /** @type {const} */ (["audible", "split"]);
const USUAL_REM = 1.5;

/** @param {() => Source | undefined} source that is open */
export function connectSettings(source) {
  for (const name of [...OF_MICROPHONE, ...OF_RECORDINGS]) {
    const box = /** @type {HTMLInputElement} */ ($(name));
    box.checked = settings[name];
    box.onchange = () => {
      change({ [name]: box.checked });
      const open = source();
      if (!(open instanceof MicrophoneSource) || !OF_MICROPHONE.some((one) => one === name)) return;
      open.change({ [name]: box.checked }).catch((error) => toast(error.message));
    };
  }
  settings.labels.forEach((label, channel) => {
    const input = /** @type {HTMLInputElement} */ ($(`label-${channel}`));
    input.value = label;
    input.onchange = () => {
      const labels = settings.labels.map((one, c) => (c === channel ? input.value.trim() || `channel ${c + 1}` : one));
      change({ labels });
    };
  });
  connectLook(USUAL_REM);
}
