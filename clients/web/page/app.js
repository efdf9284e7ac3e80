/** The page: its buttons and signs, around one session at a time. */

/** @import { Message, SavedSession } from "../sdk/types.js" */
/** @import { TympanCaptions } from "../sdk/captions-element.js" */
/** @import { Source } from "../sdk/source.js" */

import { CallSource, FileSource, MicrophoneSource, TabAudioSource, TympanWatcher, clock } from "../sdk/index.js";
import "../sdk/captions-element.js";
import { soundChip, callChip } from "../sdk/sounds.js";
import { Captioning } from "./captioning.js";
import { $, ROOT, languageName, placeMenus } from "./dom.js";
import { Hearing } from "./hearing.js";
import { apiKey, useKey } from "./key.js";
import { applyOverlay } from "./overlay.js";
import { problemOf } from "./problems.js";
import { keepSession, takeSession } from "./reload.js";
import { connectSaving } from "./saving.js";
import { connectSettings } from "./settings-menu.js";
import { applyLook, change, settings } from "./settings.js";

const params = new URLSearchParams(location.search);
const captions = /** @type {TympanCaptions} */ ($("captions"));
const hearing = new Hearing();
/** @type {Captioning | null} */
let current = null;
/** @type {{saved: SavedSession, source: string, watcher: TympanWatcher} | null} */
let interrupted = null;
/** @type {(() => void) | null} what “Try again” does */
let again = null;
/** @type {ReturnType<typeof setInterval> | undefined} */
let ticking;
let backUntil = 0;

applyLook();
const overlay = applyOverlay(captions, params);
placeMenus();
connectSettings(() => current?.source);
connectSaving(captions, () => current?.session ?? null);
offerSources();
navigator.mediaDevices?.addEventListener("devicechange", offerSources);
lookAtServer();
restore();
if (params.get("start")) begin(sourceOf(params.get("start") ?? ""), params.get("start") ?? "");

$("start").onclick = () => {
  if (current) current.stop();
  else begin(sourceOf(interrupted?.source ?? settings.source), interrupted?.source ?? settings.source, interrupted);
};
$("fresh").onclick = () => {
  forgetInterrupted();
  captions.clear();
  show();
};
$("open").onclick = () => $("file").click();
$("file").onchange = () => {
  const input = /** @type {HTMLInputElement} */ ($("file"));
  const file = input.files?.[0];
  input.value = "";
  if (file) openFile(file);
};
$("source").onchange = () => {
  const { value } = /** @type {HTMLSelectElement} */ ($("source"));
  change({ source: value });
  if (current?.source instanceof MicrophoneSource && value.startsWith("microphone")) {
    current.source.change({ deviceId: deviceOf(value) }).catch((error) => trouble(error, null));
  }
};
$("trouble-close").onclick = () => { $("trouble").hidden = true; };
$("trouble-again").onclick = () => {
  $("trouble").hidden = true;
  again?.();
};
$("key-form").onsubmit = (event) => {
  event.preventDefault();
  useKey(/** @type {HTMLInputElement} */ ($("key")).value.trim());
  $("trouble").hidden = true;
  again?.();
};
$("full").onclick = () => document.documentElement.requestFullscreen();
document.onfullscreenchange = () => document.documentElement.toggleAttribute("data-full", !!document.fullscreenElement);
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  const file = event.dataTransfer?.files[0];
  if (file && !current) openFile(file);
};
captions.addEventListener("wordchosen", (event) => {
  const { word, utterance } = /** @type {CustomEvent} */ (event).detail;
  hearing.again(captions, word.start_ms, utterance.words.at(-1).end_ms);
});
window.addEventListener("pagehide", () => keepSession(current?.save() ?? null, settings.source, Date.now()));

/** @param {File} file */
function openFile(file) {
  const { audible, split, labels } = settings;
  begin(() => new FileSource(file, { audible, split, labels }), "file");
}

/** @param {string} name @returns {() => Source} */
function sourceOf(name) {
  const { echoCancellation, noiseSuppression, autoGainControl } = settings;
  const microphone = { deviceId: deviceOf(name), echoCancellation, noiseSuppression, autoGainControl };
  if (name === "tab") return () => new TabAudioSource();
  if (name === "call") return () => new CallSource(microphone, settings.labels);
  return () => new MicrophoneSource(microphone);
}

/** @param {string} name */
function deviceOf(name) {
  return name.startsWith("microphone:") ? name.slice("microphone:".length) : "";
}

/**
 * @param {() => Source} makeSource
 * @param {string} name
 * @param {typeof interrupted} [resume]
 */
async function begin(makeSource, name, resume = null) {
  if (current) return;
  const source = makeSource();
  const session = current = new Captioning(source, { server: ROOT, token: apiKey() });
  again = () => begin(makeSource, name, resume);
  const seen = resume?.watcher.lastSeq ?? 0;
  session.addEventListener("change", show);
  session.addEventListener("ready", (event) => {
    const { atMs } = /** @type {CustomEvent} */ (event).detail;
    if (resume) {
      forgetInterrupted();
      captions.notice("The page was loaded again here.");
    } else {
      captions.clear();
    }
    hearing.begin(session, atMs);
    offerSources();
    show();
  });
  session.addEventListener("message", (event) => receive(session, /** @type {CustomEvent<Message>} */ (event).detail));
  const lastSeq = { saved: /** @type {SavedSession} */ (resume?.saved), lastSeq: seen };
  await session.begin(startOptions(), resume ? lastSeq : null);
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
      showLanguage(message.language ?? null);
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
      backUntil = performance.now() + 4000;
      if (message.lost_ms) captions.notice(`The connection was away for longer than sound can be kept: ${clock(message.lost_ms)} are missing.`);
      break;
    case "load":
      $("state").dataset.load = message.level;
      break;
  }
  show();
}

/** All that depends on how the session stands. */
function show() {
  const state = current?.state ?? (interrupted ? "paused" : "idle");
  if (current && (state === "idle" || state === "problem")) {
    const { error } = current;
    hearing.end();
    current = null;
    clearInterval(ticking);
    ticking = undefined;
    if (error) trouble(error, again);
  } else if (current && !ticking) {
    ticking = setInterval(showState, 500);
  }
  const words = captions.transcript.utterances.length > 0;
  const busy = state === "opening" || state === "finishing";
  const running = state === "live" || state === "reconnecting";
  document.body.dataset.state = state;
  captions.hidden = !overlay && !words && !running && !busy && !interrupted;
  if ((current?.ready?.audio.channels ?? 1) === 2 && !overlay) captions.setAttribute("layout", "columns");
  else if (current?.ready && !overlay) captions.removeAttribute("layout");
  $("welcome").hidden = !captions.hidden;
  const start = /** @type {HTMLButtonElement} */ ($("start"));
  start.disabled = state === "finishing";
  start.children[0].firstElementChild?.setAttribute("href", running || busy ? "#i-stop" : "#i-microphone");
  start.children[1].textContent = running || busy ? "Stop" : state === "paused" ? "Go on" : "Start";
  $("fresh").hidden = state !== "paused";
  /** @type {HTMLButtonElement} */ ($("open")).disabled = !!current;
  for (const id of ["copy", "save"]) /** @type {HTMLButtonElement} */ ($(id)).disabled = !words;
  /** @type {HTMLButtonElement} */ ($("share")).disabled = !current?.session;
  showState();
}

function showState() {
  const state = current?.state ?? (interrupted ? "paused" : error() ? "problem" : "idle");
  $("state").dataset.state = state;
  const text = stateText(state);
  if ($("state").textContent !== text) $("state").textContent = text;
  const delay = state === "live" ? current?.delay.ms ?? null : null;
  if (delay !== null) $("delay").textContent = `${(delay / 1000).toFixed(1)} s behind`;
  $("delay").hidden = delay === null;
}

/** @param {string} state */
function stateText(state) {
  switch (state) {
    case "opening": return current?.source instanceof FileSource ? "Connecting …" : "Asking for the sound …";
    case "reconnecting": return `Reconnecting … ${Math.round((current?.heldMs ?? 0) / 1000)} s of sound are kept`;
    case "finishing": return "Finishing the last words …";
    case "paused": return "Interrupted by a reload";
    case "problem": return "Stopped";
    case "live": break;
    default: return "Ready";
  }
  if (current?.mute) return "No sound comes from this microphone";
  if (performance.now() < backUntil) return "Listening again; nothing was lost";
  if (($("state").dataset.load ?? "normal") !== "normal") return "Listening; the server is busy, words come later";
  return current?.source instanceof FileSource ? "Captioning a recording" : "Listening";
}

function error() {
  return !$("trouble").hidden;
}

/** @param {Error} reason @param {(() => void) | null} retry */
function trouble(reason, retry) {
  const problem = problemOf(reason);
  $("trouble-title").textContent = problem.title;
  $("trouble-text").textContent = problem.text;
  $("trouble-again").hidden = !problem.again || !retry;
  $("key-form").hidden = !problem.key;
  $("trouble").hidden = false;
}

/** @param {string | null} code */
function showLanguage(code) {
  if (!code) return;
  $("language").textContent = languageName(code);
  $("language").hidden = false;
}

/** Sources by name; the names of microphones are known once one was allowed. */
async function offerSources() {
  const select = /** @type {HTMLSelectElement} */ ($("source"));
  const devices = await MicrophoneSource.devices();
  const shares = !!navigator.mediaDevices?.getDisplayMedia;
  const options = [new Option("Microphone", "microphone")];
  if (devices.length > 1) options.push(...devices.map(({ id, label }) => new Option(label, `microphone:${id}`)));
  if (shares) options.push(new Option("Sound of a tab", "tab"), new Option("Call: microphone and a tab", "call"));
  select.replaceChildren(...options);
  select.value = options.some(({ value }) => value === settings.source) ? settings.source : "microphone";
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
