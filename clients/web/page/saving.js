/** What one takes along: the text, files, links. */

/** @import { TympanCaptions } from "../sdk/captions-element.js" */

import { json, plainText, srt, webvtt } from "../sdk/subtitles.js";
import { $, ROOT, copy, download } from "./dom.js";

/** @type {Record<string, {type: string, write: typeof plainText}>} */
const FORMS = {
  txt: { type: "text/plain", write: plainText },
  srt: { type: "application/x-subrip", write: srt },
  vtt: { type: "text/vtt", write: webvtt },
  json: { type: "application/json", write: json },
};

/** @param {TympanCaptions} captions @param {() => string | null} session */
export function connectSaving(captions, session) {
  $("copy").onclick = () => copy(plainText(captions.transcript.utterances, captions.labels), "Copied");
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-form]"))) {
    button.onclick = () => {
      const form = button.dataset.form ?? "txt";
      const { type, write } = FORMS[form];
      download(fileName(form), type, write(captions.transcript.utterances, captions.labels));
      $("save-menu").hidePopover();
    };
  }
  const share = document.getElementById("share-menu");
  if (!share) return;
  share.addEventListener("beforetoggle", () => {
    const link = new URL(`watch/${session() ?? ""}`, ROOT);
    put("watch-link", link);
    link.search = "overlay";
    put("overlay-link", link);
  });
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (share.querySelectorAll("[data-copy]"))) {
    button.onclick = () => copy(/** @type {HTMLInputElement} */ ($(button.dataset.copy ?? "")).value, "Link copied");
  }
}

/** @param {string} id @param {URL} link */
function put(id, link) {
  /** @type {HTMLInputElement} */ ($(id)).value = link.href.replace(/=$/, "");
}

/** @param {string} form */
function fileName(form) {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60000);
  return `captions-${local.toISOString().slice(0, 16).replace("T", "-").replace(":", "")}.${form}`;
}
