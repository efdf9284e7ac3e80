/** `/calls`: what is live on this server, for supervisors: who talks, who waits, the last words; choose one to watch. */

/** @import { Message } from "../sdk/types.js" */

import { authorization } from "../sdk/address.js";
import { clock } from "../sdk/sounds.js";
import { TympanWatcher } from "../sdk/watcher.js";
import { CallState } from "./call-state.js";
import { $, ROOT } from "./dom.js";
import { apiKey } from "./key.js";
import { problemOf } from "./problems.js";
import { applyLook } from "./settings.js";
import { hideTrouble, showTrouble } from "./trouble.js";

const ASK_MS = 3000;
/** What ended stays for a moment. */
const ENDED_MS = 20000;
/** Each is a connection of this page, and a reader of the server's. */
const MAX_WATCHED = 48;

/** @typedef {{session: string, audio: {channels?: number, labels?: string[] | null}, seconds: number}} Listed */

class Card {
  state = new CallState();
  element = document.createElement("li");
  endedAt = 0;
  #watcher;
  #link = document.createElement("a");
  #time = document.createElement("time");
  #flags = document.createElement("span");
  #voices = document.createElement("div");
  #share = document.createElement("div");
  #listedAt;

  /** @param {Listed} listed */
  constructor({ session, seconds }) {
    this.#listedAt = performance.now() - seconds * 1000;
    this.#link.className = "call";
    this.#link.href = new URL(`watch/${session}`, ROOT).href;
    const name = document.createElement("code");
    name.textContent = session.slice(0, 6);
    const header = document.createElement("header");
    header.append(name, this.#flags, this.#time);
    this.#voices.className = "voices";
    this.#share.className = "share";
    this.#link.append(header, this.#voices, this.#share);
    this.element.append(this.#link);
    this.#watcher = new TympanWatcher(session, { server: ROOT, token: apiKey() });
    this.#watcher.addEventListener("message", (event) => {
      this.state.apply(/** @type {CustomEvent<Message>} */ (event).detail);
      this.#soon();
    });
    this.#watcher.addEventListener("end", () => this.end());
    this.#watcher.open();
  }

  /** It is not live any more. */
  end() {
    if (this.endedAt) return;
    this.endedAt = performance.now();
    this.state.ended = true;
    this.#watcher.close();
    this.#soon();
  }

  tick() {
    const ms = this.endedAt ? this.state.heardMs : Math.max(this.state.heardMs, performance.now() - this.#listedAt);
    const text = `${this.endedAt ? "ended, " : ""}${clock(ms)}`;
    if (this.#time.textContent !== text) this.#time.textContent = text;
  }

  #waiting = false;

  /** Once a frame is enough. */
  #soon() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#show();
    });
  }

  #show() {
    const { labels, speaking, words, talk, flags, ended } = this.state;
    if (this.#voices.childElementCount !== labels.length) {
      this.#voices.replaceChildren(...labels.map(voice));
      this.#share.replaceChildren(...labels.map(() => document.createElement("i")));
      this.#link.classList.toggle("one", labels.length === 1);
    }
    labels.forEach((_, channel) => {
      const line = this.#voices.children[channel];
      line.classList.toggle("speaking", speaking[channel]);
      const said = line.children[1];
      if (said.textContent !== words[channel]) said.textContent = words[channel];
      said.scrollTop = said.scrollHeight;
      /** @type {HTMLElement} */ (this.#share.children[channel]).style.flexGrow = String(talk[channel] / (talk.reduce((a, b) => a + b, 0) || 1));
    });
    this.#flags.className = flags.length ? "flag" : "";
    this.#flags.textContent = flags.join(" · ");
    this.#link.classList.toggle("attention", flags.length > 0);
    this.#link.classList.toggle("ended", ended);
    this.tick();
    filter(this);
  }
}

/** @param {string} label */
function voice(label) {
  const line = document.createElement("div");
  line.className = "voice";
  const name = document.createElement("b");
  name.textContent = label;
  line.append(name, document.createElement("p"));
  return line;
}

/** @type {Map<string, Card>} */
const cards = new Map();
let attentionOnly = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let looking;

applyLook();
for (const choice of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("[name=which]"))) {
  choice.onchange = () => {
    attentionOnly = choice.value === "attention";
    for (const card of cards.values()) filter(card);
  };
}
setInterval(() => { for (const card of cards.values()) card.tick(); }, 1000);
look();

/** @param {Card} card */
function filter(card) {
  card.element.hidden = attentionOnly && !card.state.flags.length;
}

async function look() {
  clearTimeout(looking);
  try {
    const answer = await fetch(new URL("v1/sessions", ROOT), { headers: authorization(apiKey()) });
    if (answer.status === 401) {
      refuse(problemOf(Object.assign(new Error(), { code: "unauthorized" })));
      return;
    }
    if (answer.status === 403) {
      refuse({ title: "Calls are not listed here", text: `${(await answer.text()).trim()}.` });
      return;
    }
    const { sessions, live } = await answer.json();
    hideTrouble();
    take(sessions, live);
  } catch {
    say("reconnecting", "No server answers; trying again …");
  }
  looking = setTimeout(look, ASK_MS);
}

/** @param {Listed[]} sessions @param {number} live */
function take(sessions, live) {
  const now = performance.now();
  const there = new Set(sessions.map(({ session }) => session));
  for (const [session, card] of cards) {
    if (!there.has(session)) card.end();
    if (card.endedAt && now - card.endedAt > ENDED_MS) {
      card.element.remove();
      cards.delete(session);
    }
  }
  for (const listed of [...sessions].reverse()) {
    if (cards.has(listed.session) || cards.size >= MAX_WATCHED) continue;
    const card = new Card(listed);
    cards.set(listed.session, card);
    $("calls").append(card.element);
  }
  $("empty").hidden = cards.size > 0;
  const shown = [...cards.values()].filter((card) => !card.endedAt).length;
  say("live", live > shown ? `${live} live calls, ${shown} of them shown` : `${live} live ${live === 1 ? "call" : "calls"}`);
}

/** @param {import("./problems.js").Problem} problem */
function refuse(problem) {
  showTrouble(problem, look);
  $("empty").hidden = true;
  say("problem", problem.key ? "An API key is wanted" : "Not listed");
}

/** @param {string} state @param {string} text */
function say(state, text) {
  $("state").dataset.state = state;
  if ($("state").textContent !== text) $("state").textContent = text;
}
