// @deepgram/sdk 5 on Node.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createRequire } from "node:module";

const [host, key, clip, mode, environment] = process.argv.slice(2);
const { DeepgramClient } = createRequire(`${environment}/`)("@deepgram/sdk");
const wav = readFileSync(clip);
const pcm = Buffer.concat([wav.subarray(44), Buffer.alloc(32000)]);
const urls = { base: `http://${host}`, production: `ws://${host}`, agent: `ws://${host}`, agentRest: `http://${host}` };

function client(apiKey) {
  return new DeepgramClient({ apiKey, environment: urls });
}

function answer(text, checked) {
  console.log(JSON.stringify({ text, checked }));
}

async function live() {
  const socket = await client(key).listen.v1.connect({
    model: "nova-3",
    encoding: "linear16",
    sample_rate: 16000,
    punctuate: "true",
    interim_results: "true",
    utterance_end_ms: "1000",
    vad_events: "true",
  });
  const finals = [];
  const seen = new Set();
  const closes = [];
  let opened = 0;
  const closed = new Promise((resolve) => {
    socket.on("open", () => (opened += 1));
    socket.on("message", (message) => {
      seen.add(message.type === "Results" && message.from_finalize ? "from_finalize" : message.type);
      if (message.type !== "Results" || !message.is_final) return;
      if (message.channel.alternatives[0].transcript) finals.push(message.channel.alternatives[0].transcript);
    });
    socket.on("close", (event) => {
      closes.push(event.code);
      resolve();
    });
    socket.on("error", () => seen.add("error"));
  });
  socket.connect();
  await socket.waitForOpen();
  const step = mode === "paced" ? 3200 : 16000;
  const begin = Date.now();
  for (let at = 0; at < pcm.length; at += step) {
    if (mode === "paced") await sleep(Math.max(0, begin + at / 32 - Date.now()));
    socket.sendMedia(pcm.subarray(at, at + step));
  }
  socket.sendFinalize({ type: "Finalize" });
  socket.sendCloseStream({ type: "CloseStream" });
  await closed;
  await sleep(1500); // it would connect again by now
  answer(finals.join(" "), {
    closed_normally: closes.length === 1 && closes[0] === 1000,
    no_reconnect: opened === 1,
    finalize: seen.has("from_finalize"),
    vad_events: seen.has("SpeechStarted"),
    metadata: seen.has("Metadata"),
    no_errors: !seen.has("error"),
  });
  process.exit(0);
}

async function recorded() {
  const told = await client(key).listen.v1.media.transcribeFile(wav, { model: "nova-3", punctuate: true });
  const best = told.results.channels[0].alternatives[0];
  answer(best.transcript, { words: best.words.length > 0 });
}

await (mode === "file" ? recorded() : live());
