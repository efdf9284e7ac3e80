/**
 * A session over a reload of its page: what is needed to go on is kept in the tab's own storage, with the audio that the
 * server had not stored yet.
 */

/** @import { SavedSession } from "../sdk/types.js" */

const NAME = "tympan.session";
/** After so long the server has forgotten it, by default. */
const GOOD_MS = 300000;

/** @param {SavedSession | null} saved @param {string} source @param {number} nowMs */
export function keepSession(saved, source, nowMs) {
  try {
    if (saved) sessionStorage.setItem(NAME, JSON.stringify({ saved, source, at: nowMs }));
    else sessionStorage.removeItem(NAME);
  } catch {
    // No room, or a browser that keeps nothing: then the session ends with the page.
  }
}

/** Once. @param {number} nowMs @returns {{saved: SavedSession, source: string} | null} */
export function takeSession(nowMs) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(NAME) ?? "null");
    sessionStorage.removeItem(NAME);
    return kept && nowMs - kept.at < GOOD_MS ? kept : null;
  } catch {
    return null;
  }
}
