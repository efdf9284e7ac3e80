/** A lossy link between a ResumableSession and a small model of the server; runs of it end in "" or in what went wrong. */

import { ResumableSession } from "/sdk/resume.js";

const RATE = 16000;
const KEPT = 40;
const READY = { type: "ready", session: "s", resume_token: "t", max_message_bytes: 1 << 20 };

/** Remembers what it was sent up to the last place that it stored, and what it said since it began. */
class ModelServer {
  state = { items: [], position: 0, commands: 0, gaps: [] };
  stored = structuredClone(this.state);
  log = [];

  store() {
    this.stored = structuredClone(this.state);
    return { type: "ack", sample: this.state.position, commands: this.state.commands };
  }

  hear(payload) {
    if (typeof payload !== "string") return this.place(payload);
    const message = JSON.parse(payload);
    switch (message.type) {
      case "start":
        if (!message.resume) return [READY];
        this.state = structuredClone(this.stored);
        return [
          { ...READY, resumed: true, next_sample: this.state.position, commands: this.state.commands },
          ...this.log.slice(Math.max(0, message.resume.last_seq - 1)), // one more than was asked for
        ];
      case "audio": {
        const bytes = Uint8Array.from(atob(message.data), (char) => char.charCodeAt(0));
        const samples = new Int16Array(bytes.buffer);
        const { position } = this.state;
        if (message.first_sample > position) {
          this.state.gaps.push([position, message.first_sample]);
          this.state.position = message.first_sample;
        }
        return this.place(samples.subarray(Math.max(0, position - message.first_sample)));
      }
    }
    this.state.commands++;
    if (message.type !== "stop") this.state.items.push(`${message.type} ${message.id ?? ""}`);
    if (message.type === "finalize") return [];
    const said = message.type === "stop" ? { type: "summary" } : message;
    if (this.log.some(({ type, id }) => type === said.type && id === said.id)) return [];
    this.log.push({ ...said, seq: this.log.length + 1 });
    return this.log.slice(-1);
  }

  place(samples) {
    for (const sample of samples) this.state.items.push(sample);
    this.state.position += samples.length;
    return [];
  }
}

/** Numbers of [0, 1) that are the same for the same seed. */
function chances(seed) {
  return () => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return seed / 2 ** 32;
  };
}

export function run(seed) {
  const chance = chances(seed);
  const upTo = (most) => 1 + Math.floor(chance() * most);
  const onOverflow = chance() < 0.5 ? "drop" : "wait";
  const client = new ResumableSession({ sampleRate: RATE }, {}, KEPT);
  const server = new ModelServer();
  const heard = [];
  const sent = [];
  let up = [client.start()];
  let down = [];
  let taken = 0;
  let named = 0;

  const carryUp = (count) => {
    for (let payload; (payload = client.next(0)) !== null;) up.push(payload);
    for (const payload of up.splice(0, count)) down.push(...server.hear(payload));
  };
  const carryDown = (count) => {
    for (const message of down.splice(0, count)) {
      const told = client.receive(message, 0);
      if (told) heard.push(told);
    }
  };
  const command = (message) => {
    sent.push(`${message.type} ${message.id ?? ""}`);
    client.command(message);
  };
  const steps = [
    () => {
      const samples = Int16Array.from({ length: upTo(15) }, (_, i) => taken + i);
      if (!client.hasRoom(samples.length, onOverflow)) return;
      client.audio(samples);
      sent.push(...samples);
      taken += samples.length;
    },
    () => command({ type: "marker", id: `${++named}` }),
    () => command({ type: "finalize" }),
    () => carryUp(upTo(5)),
    () => carryUp(upTo(5)),
    () => carryDown(upTo(5)),
    () => carryDown(upTo(5)),
    () => down.push(server.store()),
    () => {
      client.lost();
      up = [client.start()];
      down = [];
    },
  ];
  carryUp(1);
  carryDown(1);
  for (let i = 0; i < 60; i++) steps[Math.floor(chance() * steps.length)]();
  client.command({ type: "stop" });
  for (let i = 0; i < 100 && !client.finished; i++) {
    carryUp(1000);
    carryDown(1000);
  }

  const missing = (item) => server.state.gaps.some(([from, to]) => from <= item && item < to);
  const expected = sent.filter((item) => typeof item === "string" || !missing(item));
  const numbers = heard.filter(({ seq }) => seq).map(({ seq }) => seq);
  if (!client.finished) return `${seed}: it did not end`;
  if (`${server.state.items}` !== `${expected}`) return `${seed}: sent ${expected}; arrived ${server.state.items}`;
  if (onOverflow === "wait" && server.state.gaps.length) return `${seed}: gaps ${server.state.gaps}`;
  if (`${numbers}` !== `${server.log.map(({ seq }) => seq)}`) return `${seed}: told ${numbers}`;
  return "";
}
