/** The page: its buttons and signs, around one session at a time. */

/** @import { Message, SavedSession } from "../sdk/types.js" */
/** @import { TympanCaptions } from "../sdk/captions-element.js" */
/** @import { Source } from "../sdk/source.js" */

import { MicrophoneSource, TympanWatcher, clock } from "../sdk/index.js";
import "../sdk/captions-element.js";
import { callChip, soundChip } from "../sdk/sounds.js";
import { Captioning } from "./captioning.js";
import { $, ROOT, placeMenus } from "./dom.js";
import { Hearing } from "./hearing.js";
import { apiKey } from "./key.js";
import { applyOverlay } from "./overlay.js";
import { problemOf } from "./problems.js";
import { keepSession, takeSession } from "./reload.js";
import { connectSaving } from "./saving.js";
import { connectSettings } from "./settings-menu.js";
import { applyLook, change, settings } from "./settings.js";
import { Signs } from "./signs.js";
import { deviceOf, offerSources, sourceOf, sourceOfFile } from "./sources-menu.js";
import { hideTrouble, isTroubled, showTrouble } from "./trouble.js";

const TICK_MS = 500;

/** @typedef {{saved: SavedSession, source: string, watcher: TympanWatcher}} Interrupted a session that waits after a reload */

const params = new URLSearchParams(location.search);
const captions = /** @type {TympanCaptions} */ ($("captions"));
const hearing = new Hearing();
const signs = new Signs();
/** @type {Captioning | null} */
let current = null;
/** @type {Interrupted | null} */
let interrupted = null;
/** @type {(() => void) | null} begins what ended in trouble */
let again = null;
/** @type {ReturnType<typeof setInterval> | undefined} */
let ticking;

applyLook();
const overlay = applyOverlay(captions, params);
placeMenus();
connectSettings(() => current?.source);
connectSaving(captions, () => current?.session ?? null);
connectControls();
offerSources();
navigator.mediaDevices?.addEventListener("devicechange", offerSources);
lookAtServer();
restore();
const first = params.get("start");
if (first) begin(() => sourceOf(first));

function connectControls() {
  $("start").onclick = () => {
    if (current) current.stop();
    else begin(() => sourceOf(interrupted?.source ?? settings.source), interrupted);
  };
  $("fresh").onclick = () => {
    forgetInterrupted();
    captions.clear();
    show();
  };
  const file = /** @type {HTMLInputElement} */ ($("file"));
  $("open").onclick = () => file.click();
  file.onchange = () => {
    openFile(file.files?.[0]);
    file.value = "";
  };
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault();
    openFile(event.dataTransfer?.files[0]);
  };
  const source = /** @type {HTMLSelectElement} */ ($("source"));
  source.onchange = () => {
    change({ source: source.value });
    if (!(current?.source instanceof MicrophoneSource) || !source.value.startsWith("microphone")) return;
    current.source.change({ deviceId: deviceOf(source.value) }).catch((error) => showTrouble(problemOf(error), null));
  };
  $("trouble-close").onclick = () => {
    hideTrouble();
    show();
  };
  $("full").onclick = () => document.documentElement.requestFullscreen();
  document.onfullscreenchange = () => document.documentElement.toggleAttribute("data-full", !!document.fullscreenElement);
  captions.addEventListener("wordchosen", (event) => {
    const { word, utterance } = /** @type {CustomEvent} */ (event).detail;
    hearing.again(captions, word.start_ms, utterance.words.at(-1).end_ms);
  });
  window.addEventListener("pagehide", () => keepSession(current?.save() ?? null, settings.source, Date.now()));
}

/** @param {File | undefined} file */
function openFile(file) {
  if (file && !current) begin(() => sourceOfFile(file));
}

/** @param {() => Source} makeSource @param {Interrupted | null} [resume] */
async function begin(makeSource, resume = null) {
  if (current) return;
  hideTrouble();
  signs.begin();
  const session = current = new Captioning(makeSource(), { server: ROOT, token: apiKey() });
  again = () => begin(makeSource, resume);
  session.addEventListener("change", show);
  session.addEventListener("message", (event) => receive(session, /** @type {CustomEvent<Message>} */ (event).detail));
  session.addEventListener("ready", (event) => {
    if (resume) {
      forgetInterrupted();
      captions.notice("The page was loaded again here.");
    } else {
      captions.clear();
    }
    captions.dataset.session = session.session ?? "";
    hearing.begin(session, /** @type {CustomEvent} */ (event).detail.atMs);
    offerSources();
    show();
  });
  await session.begin(startOptions(), resume && { saved: resume.saved, lastSeq: resume.watcher.lastSeq });
}

function startOptions() {
  const language = params.get("language");
  return language ? { task: { name: "transcribe", language } } : {};
}

/** @param {Captioning} session @param {Message} message */
function receive(session, message) {
  if (session !== current) return;
  captions.apply(message);
  switch (message.type) {
    case "transcript":
      signs.language(message.language);
      break;
    case "speech":
      hearing.spectrogram.speech(message);
      break;
    case "event":
    case "call": {
      const chip = message.type === "event" ? soundChip(message) : callChip(message);
      if (chip) hearing.spectrogram.mark(chip);
      break;
    }
    case "reconnected":
      signs.back();
      if (message.lost_ms) {
        captions.notice(`The connection was away for longer than sound is kept: ${clock(message.lost_ms)} are missing.`);
      }
      break;
    case "load":
      signs.load(message.level);
      break;
  }
  show();
}

/** All that depends on how the session stands. */
function show() {
  if (current?.state === "idle" || current?.state === "problem") ended(current);
  if (current && !ticking) ticking = setInterval(showState, TICK_MS);
  const { state, running, busy } = showState();
  const words = captions.transcript.utterances.length > 0;
  captions.hidden = !overlay && !words && !running && !busy && !interrupted;
  $("welcome").hidden = !captions.hidden;
  if (current?.ready && !overlay) captions.setAttribute("layout", current.ready.audio.channels === 2 ? "columns" : "log");
  const start = /** @type {HTMLButtonElement} */ ($("start"));
  start.disabled = state === "finishing";
  start.children[0].firstElementChild?.setAttribute("href", running || busy ? "#i-stop" : "#i-microphone");
  start.children[1].textContent = running || busy ? "Stop" : state === "paused" ? "Go on" : "Start";
  $("fresh").hidden = state !== "paused";
  /** @type {HTMLButtonElement} */ ($("open")).disabled = !!current;
  for (const id of ["copy", "save"]) /** @type {HTMLButtonElement} */ ($(id)).disabled = !words;
  /** @type {HTMLButtonElement} */ ($("share")).disabled = !current?.session;
}

function showState() {
  const state = current?.state ?? (interrupted ? "paused" : isTroubled() ? "problem" : "idle");
  document.body.dataset.state = state;
  signs.show(state, current);
  return {
    state,
    running: state === "live" || state === "reconnecting",
    busy: state === "opening" || state === "finishing",
  };
}

/** @param {Captioning} session */
function ended({ error }) {
  current = null;
  hearing.end();
  clearInterval(ticking);
  ticking = undefined;
  if (error) showTrouble(problemOf(error), again);
}

/** What runs there, or why nothing does. */
async function lookAtServer() {
  try {
    const { status, model, device, reason } = await (await fetch(new URL("readyz", ROOT))).json();
    $("model").textContent = status === "ready"
      ? `The sound goes to this server, and nowhere else. It runs ${model} on ${device === "cpu" ? "its processor" : device}.`
      : `The server is not ready: ${reason}.`;
    if (status === "starting") setTimeout(lookAtServer, 2000);
  } catch {
    $("model").textContent = "No server answers at the moment.";
  }
}

/** After a reload: what was said is there, and the session waits for somebody to go on with it. */
function restore() {
  const kept = takeSession(Date.now());
  if (!kept) return;
  const watcher = new TympanWatcher(kept.saved.session, { server: ROOT, token: apiKey() });
  interrupted = { ...kept, watcher };
  captions.follow(watcher);
  watcher.addEventListener("message", show);
  watcher.addEventListener("end", () => {
    if (interrupted?.watcher === watcher) interrupted = null;
    show();
  });
  watcher.open();
  show();
}

function forgetInterrupted() {
  interrupted?.watcher.close();
  interrupted = null;
}
