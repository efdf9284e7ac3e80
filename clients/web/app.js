/** The page: one session at a time, from the microphone or a file, and what it says. */

import { TympanSession } from "./client.js";
import { Transcript } from "./transcript.js";
import { SourceError, openFile, openMicrophone } from "./sources.js";

const KEPT_UTTERANCES = 500;
const FLOOR_DB = -60;
const STATES = {
  idle: "Ready when you are",
  opening: "Connecting …",
  live: "Listening",
  finishing: "Finishing the last words …",
  problem: "Stopped",
};
const RECONNECTING = "Reconnecting …";

const $ = (id) => document.getElementById(id);
const captions = $("captions");
const settled = $("settled");
const openUtterances = $("open");

let state = "idle";
let source = null;
let session = null;
let missing = false;
let away = false;

$("microphone").onclick = () => (state === "live" ? source.stop() : begin(openMicrophone));
$("file").onchange = ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) begin(() => openFile(file, $("play").checked));
};
$("copy").onclick = async () => {
  await navigator.clipboard.writeText([...settled.querySelectorAll(".utterance")].map((line) => line.textContent).join("\n"));
  $("copy").textContent = "Copied";
  setTimeout(() => { $("copy").textContent = "Copy text"; }, 1500);
};

async function begin(openSource) {
  show("opening");
  say("");
  missing = false;
  away = false;
  const current = new TympanSession({ onOverflow: openSource === openMicrophone ? "drop" : "wait", key: apiKey() });
  session = current;
  const transcript = new Transcript();
  current.onevent = (message) => receive(message, transcript);
  current.onend = (error) => end(current, error);
  try {
    source = await openSource();
    const ready = await current.open(streamUrl(), source.sampleRate);
    $("details").textContent = `${ready.model.name} on ${ready.model.device} (${ready.model.dtype})`;
    $("details").dataset.model = $("details").textContent;
  } catch (error) {
    source?.stop();
    end(current, error);
    return;
  }
  show("live");
  source.start(
    (samples, level) => {
      showLevel(level);
      return current.send(samples);
    },
    () => finish(current),
  );
}

/** No more sound comes; the words that are still on their way do. */
function finish(ending) {
  if (ending !== session) return;
  show("finishing");
  session.stop();
}

function end(ended, error) {
  if (ended !== session) return;
  session = null;
  away = false;
  source?.stop();
  source = null;
  showLevel(FLOOR_DB);
  for (const line of [...openUtterances.children]) settle(line);
  show(error ? "problem" : "idle");
  if (error) say(problemText(error), "problem");
  else if (!missing) say("");
}

function receive(message, transcript) {
  switch (message.type) {
    case "transcript":
      showUtterance(transcript.apply(message));
      $("details").textContent = `${$("details").dataset.model} · ${message.lag_ms ?? 0} ms behind`;
      break;
    case "event":
      if (message.phase === "end" || message.phase === "update") break;
      add(settled, `sound-${message.seq}`, "sound").textContent = `(${message.label})`;
      break;
    case "load":
      say(message.level === "normal" ? "" : "The server is busy: captions come less often.");
      break;
    case "reconnecting":
    case "reconnected":
      away = message.type === "reconnecting";
      showState();
      break;
    case "gap":
      missing = true;
      say("A part of the sound could not be transcribed.");
      break;
  }
}

function showUtterance({ id, final, stable, tentative }) {
  const follow = atEnd();
  const line = openUtterances.querySelector(`[data-utterance="${id}"]`) ?? add(openUtterances, id, "utterance");
  const pale = document.createElement("span");
  pale.className = "tentative";
  pale.textContent = tentative;
  line.replaceChildren(stable, stable && tentative ? " " : "", pale);
  if (final) settle(line);
  $("hint").hidden = true;
  if (follow) captions.scrollTop = captions.scrollHeight;
}

function settle(line) {
  if (!line.textContent) {
    line.remove();
    return;
  }
  settled.append(line);
  while (settled.children.length > KEPT_UTTERANCES) settled.firstChild.remove();
  $("copy").disabled = false;
}

function add(parent, id, className) {
  const line = document.createElement("p");
  line.className = className;
  line.dataset.utterance = id;
  parent.append(line);
  return line;
}

function show(next) {
  state = next;
  showState();
  const busy = next === "opening" || next === "finishing";
  $("microphone").disabled = busy;
  $("microphone").textContent = next === "live" ? "Stop" : "Start microphone";
  $("file").disabled = busy || next === "live";
  $("file-label").classList.toggle("disabled", $("file").disabled);
}

/** While the connection is away the captions stand still, and nothing is lost yet: a word in the corner is enough. */
function showState() {
  $("state").dataset.state = away ? "reconnecting" : state;
  $("state").textContent = away ? RECONNECTING : STATES[state];
}

function showLevel(db) {
  const bounded = Math.max(FLOOR_DB, Math.min(0, db));
  $("level").setAttribute("aria-valuenow", Math.round(bounded));
  $("level-bar").style.transform = `scaleX(${1 - bounded / FLOOR_DB})`;
}

/** Below the captions: why it ended (`problem`), or what the user should know meanwhile (`notice`); "" takes it away. */
function say(text, kind = "notice") {
  const follow = atEnd();
  $("said").textContent = text;
  $("said").dataset.kind = kind;
  $("said").hidden = !text;
  if (follow) captions.scrollTop = captions.scrollHeight;
}

/** The reader has not scrolled back, so new words should stay in sight. */
function atEnd() {
  return captions.scrollHeight - captions.scrollTop - captions.clientHeight < 40;
}

function problemText(error) {
  if (error instanceof SourceError) return error.message;
  return error.retryable ? `${error.message} You can try again.` : error.message;
}

function streamUrl() {
  const url = new URL("v1/stream", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** From `#key=...` in the page's address, which a browser sends to nobody. */
function apiKey() {
  return new URLSearchParams(location.hash.slice(1)).get("key") ?? "";
}
