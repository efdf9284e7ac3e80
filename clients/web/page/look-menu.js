/** The menu “View”. */

import { $ } from "./dom.js";
import { change, settings } from "./settings.js";

/** Text and colours. @param {number} usualRem where nothing was chosen */
export function connectLook(usualRem) {
  const size = /** @type {HTMLInputElement} */ ($("size"));
  size.value = String(settings.size || usualRem);
  size.oninput = () => change({ size: Number(size.value) });
  for (const choice of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[name=theme]"))) {
    choice.checked = choice.value === settings.theme;
    choice.onchange = () => change({ theme: choice.value });
  }
}
