/** What went wrong, in words that help. */

/**
 * @typedef {object} Problem
 * @property {string} title
 * @property {string} text
 * @property {boolean} [again] trying again may help
 * @property {boolean} [key] a key is asked for
 */

/** @type {Record<string, Problem>} */
const PROBLEMS = {
  denied: {
    title: "The microphone is blocked",
    text: "This page may not use it. Choose the lock or microphone sign beside the address, allow the microphone, and try again. Recordings work without it.",
    again: true,
  },
  missing: { title: "No microphone was found", text: "Connect one and try again, or open a recording.", again: true },
  busy: { title: "The microphone is in use", text: "Another program has it. Close that program, or choose another microphone.", again: true },
  insecure: {
    title: "Browsers keep the microphone from this page",
    text: "They give it to https pages and to localhost only. Put a proxy with TLS before the server, or open this page on the server’s own machine.",
  },
  unreachable: { title: "No server answers", text: "It may be starting, or away. What was said so far stays here.", again: true },
  connection_lost: {
    title: "The connection is gone",
    text: "It did not come back within a minute, or no server answers. What was said so far stays here.",
    again: true,
  },
  overloaded: { title: "The server is full", text: "As many sessions are live as it can take. Try again in a moment.", again: true },
  engine_unavailable: { title: "The model is not ready", text: "The server is still loading it, or could not.", again: true },
  draining: { title: "The server is shutting down", text: "Try again once it is back.", again: true },
  unauthorized: { title: "This server wants an API key", text: "It is kept in this tab only, and shown to this server only.", key: true },
  no_session: { title: "This session is over", text: "The server has it no more: it expired, or the server was started anew. What was said so far stays here.", again: true },
  taken_over: { title: "The session goes on elsewhere", text: "Another tab or window has taken it over." },
};

/** @param {Error & {code?: string}} error @returns {Problem} */
export function problemOf(error) {
  const known = PROBLEMS[error.code ?? ""];
  if (known && !(error.code === "missing" && !error.message.startsWith("No"))) return known;
  return { title: "That did not work", text: error.message, again: true };
}
