/** What this browser remembers of its user, and the look that follows from it. */

const NAME = "tympan";

/**
 * @typedef {object} Settings
 * @property {boolean} echoCancellation
 * @property {boolean} noiseSuppression
 * @property {boolean} autoGainControl
 * @property {boolean} audible
 * @property {boolean} split
 * @property {string[]} labels
 * @property {number} size of the text in rem; 0: as the window is
 * @property {string} theme
 * @property {string} source
 */

/** @type {Settings} */
const DEFAULTS = {
  echoCancellation: true,
  noiseSuppression: false,
  autoGainControl: true,
  audible: true,
  split: true,
  labels: ["agent", "customer"],
  size: 0,
  theme: "system",
  source: "microphone",
};

/** @type {Settings} */
export const settings = { ...DEFAULTS, ...remembered() };

/** @param {Partial<Settings>} changes */
export function change(changes) {
  Object.assign(settings, changes);
  try {
    localStorage.setItem(NAME, JSON.stringify(settings));
  } catch {
    // A browser that keeps nothing: then this visit only.
  }
  applyLook();
}

export function applyLook() {
  const { dataset, style } = document.documentElement;
  if (settings.theme === "system") delete dataset.theme;
  else dataset.theme = settings.theme;
  if (settings.size) style.setProperty("--text-size", `${settings.size}rem`);
  else style.removeProperty("--text-size");
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(NAME) ?? "{}");
  } catch {
    return {};
  }
}
