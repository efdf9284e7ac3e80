/** `/watch/ID`: somebody's session to read along, from its begin, in two lines or whole, live or from earlier on. */

/** @import { Message } from "../sdk/types.js" */
/** @import { TympanCaptions } from "../sdk/captions-element.js" */

import "../sdk/captions-element.js";
import { clock } from "../sdk/sounds.js";
import { TympanWatcher } from "../sdk/watcher.js";
import { $, ROOT, languageName, placeMenus } from "./dom.js";
import { apiKey } from "./key.js";
import { connectLook } from "./look-menu.js";
import { applyOverlay } from "./overlay.js";
import { problemOf } from "./problems.js";
import { Rewind } from "./rewind.js";
import { connectSaving } from "./saving.js";
import { applyLook } from "./settings.js";
import { hideTrouble, showTrouble } from "./trouble.js";

const STEP_MS = 10000;
const TICK_MS = 100;
const USUAL_REM = 2;
const UNKNOWN = {
  title: "There is no such session",
  text: "The link is wrong, or the session ended and has expired.",
  again: true,
};

const session = decodeURIComponent(location.pathname.split("/").filter(Boolean).at(-1) ?? "");
const [log, lines, past] = ["log", "lines", "past"].map((id) => /** @type {TympanCaptions} */ ($(id)));
const place = /** @type {HTMLInputElement} */ ($("place"));
/** The newest moment that is known of. */
let newestMs = 0;
/** @type {{fromMs: number, begunAt: number, words: Rewind} | null} null: live */
let rewind = null;

applyLook();
const overlay = applyOverlay(lines, new URLSearchParams(location.search));
past.setAttribute("rows", lines.getAttribute("rows") ?? "2");
placeMenus();
connectSaving(log, () => session);
connectView();
watch();
setInterval(tick, TICK_MS);

function watch() {
  hideTrouble();
  for (const captions of [log, lines]) captions.clear();
  const watcher = new TympanWatcher(session, { server: ROOT, token: apiKey() });
  for (const captions of [log, lines]) captions.follow(watcher);
  watcher.addEventListener("message", (event) => receive(/** @type {CustomEvent<Message>} */ (event).detail));
  watcher.addEventListener("end", (event) => ended(/** @type {CustomEvent} */ (event).detail.error));
  watcher.open();
}

/** @param {Message} message */
function receive(message) {
  switch (message.type) {
    case "watching":
      if (message.done) over();
      else show("live", "Live");
      if (message.done && log.hidden && !overlay) $("transcript").click();
      $("waiting").hidden = (message.last_seq ?? 0) > 0;
      if ((message.audio.channels ?? 1) === 2) log.setAttribute("layout", "columns");
      past.labels = lines.labels;
      break;
    case "transcript":
      $("waiting").hidden = true;
      newestMs = Math.max(newestMs, message.decoded_until_ms ?? 0, message.words.at(-1)?.end_ms ?? 0);
      if (message.language) {
        $("language").textContent = languageName(message.language);
        $("language").hidden = false;
      }
      for (const id of ["copy", "save"]) /** @type {HTMLButtonElement} */ ($(id)).disabled = false;
      break;
    case "reconnecting":
      show("reconnecting", "Reconnecting …");
      break;
    case "reconnected":
      show("live", "Live");
      break;
    case "summary":
      newestMs = Math.max(newestMs, message.audio_ms);
      break;
  }
}

/** @param {Error & {code?: string} | null} error */
function ended(error) {
  const expired = error?.code === "no_session" && log.transcript.utterances.length > 0;
  if (!error || expired) {
    over();
    return;
  }
  const unknown = error.code === "no_session";
  showTrouble(unknown ? UNKNOWN : problemOf(error), watch);
  $("waiting").hidden = true;
  show("problem", unknown ? "Not there" : "Stopped");
}

function over() {
  show("idle", "Ended");
  $("live").textContent = "End";
}

/** @param {string} state @param {string} text */
function show(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

/** The clock, and what is said again by now. */
function tick() {
  const atMs = rewind ? rewind.fromMs + performance.now() - rewind.begunAt : newestMs;
  if (rewind && atMs >= newestMs) {
    toLive();
    return;
  }
  if (rewind) for (const message of rewind.words.until(atMs)) past.apply(message);
  place.max = String(Math.max(newestMs, 1));
  place.value = String(atMs);
  const shown = clock(atMs);
  if ($("clock").textContent !== shown) {
    $("clock").textContent = shown;
    place.setAttribute("aria-valuetext", rewind ? shown : `${shown}, live`);
  }
}

/** @param {number} ms of the session */
function goTo(ms) {
  if (!newestMs) return;
  const fromMs = Math.max(0, ms);
  rewind = { fromMs, begunAt: performance.now(), words: new Rewind(log.transcript.utterances, fromMs) };
  past.clear();
  showPast(true);
  tick();
}

function toLive() {
  rewind = null;
  showPast(false);
  lines.toLatest();
  tick();
}

/** @param {boolean} shown */
function showPast(shown) {
  past.hidden = !shown;
  lines.hidden = shown;
  $("live").setAttribute("aria-pressed", String(!shown));
}

function connectView() {
  $("back").onclick = () => goTo((rewind ? Number(place.value) : newestMs) - STEP_MS);
  $("live").onclick = toLive;
  place.oninput = () => goTo(Number(place.value));
  $("transcript").onclick = () => {
    const whole = log.hidden;
    log.hidden = !whole;
    $("stage").hidden = whole;
    document.body.dataset.view = whole ? "log" : "lines";
    $("transcript").setAttribute("aria-pressed", String(whole));
    (whole ? log : lines).toLatest();
  };
  $("full").onclick = () => document.documentElement.requestFullscreen();
  document.onfullscreenchange = () => document.documentElement.toggleAttribute("data-full", !!document.fullscreenElement);
  connectLook(USUAL_REM);
  document.addEventListener("keydown", ({ key, target, altKey, ctrlKey, metaKey }) => {
    if (altKey || ctrlKey || metaKey || target instanceof HTMLInputElement || document.querySelector(":popover-open")) return;
    if (key === "ArrowLeft") $("back").click();
    if (key === "l" || key === "L") toLive();
    if (key === "t" || key === "T") $("transcript").click();
    if (key === "f" || key === "F") $("full").click();
  });
}
