/** The card that says what went wrong; it asks for an API key where one is wanted. */

/** @import { Problem } from "./problems.js" */

import { $ } from "./dom.js";
import { useKey } from "./key.js";

/** @type {(() => void) | null} what “Try again” does, and a key that was typed in */
let again = null;

/** @param {Problem} problem @param {(() => void) | null} retry */
export function showTrouble({ title, text, again: helps = false, key = false }, retry) {
  again = retry;
  $("trouble-title").textContent = title;
  $("trouble-text").textContent = text;
  $("trouble-again").hidden = !helps || !retry;
  $("key-form").hidden = !key;
  $("trouble").hidden = false;
}

export function hideTrouble() {
  $("trouble").hidden = true;
}

export function isTroubled() {
  return !$("trouble").hidden;
}

$("trouble-again").onclick = retry;
$("key-form").onsubmit = (event) => {
  event.preventDefault();
  useKey(/** @type {HTMLInputElement} */ ($("key")).value.trim());
  retry();
};

function retry() {
  hideTrouble();
  again?.();
}
