/**
 * `?overlay`: nothing but the newest lines, on a transparent page, for video mixers. Its parameters are in
 * docs/captions-page.md; a value that is none of CSS is left out.
 */

const ALIGN = ["left", "center", "right"];

/** @param {HTMLElement} captions @param {URLSearchParams} params */
export function applyOverlay(captions, params) {
  if (!params.has("overlay") || params.get("overlay") === "0") return false;
  const root = document.documentElement;
  root.dataset.overlay = "";
  captions.setAttribute("layout", "lines");
  captions.setAttribute("rows", String(bounded(params.get("lines"), 1, 8, 2)));
  root.style.setProperty("--overlay-size", `${bounded(params.get("size"), 10, 400, 48)}px`);
  const align = params.get("align") ?? "";
  if (ALIGN.includes(align)) root.style.setProperty("--overlay-align", align);
  for (const name of ["color", "tentative", "background"]) {
    const value = params.get(name) ?? "";
    const colour = /^[0-9a-f]{3,8}$/i.test(value) ? `#${value}` : value;
    if (CSS.supports("color", colour)) root.style.setProperty(`--overlay-${name}`, colour);
  }
  if (params.get("shadow") === "0") root.style.setProperty("--overlay-shadow", "none");
  return true;
}

/** @param {string | null} text @param {number} least @param {number} most @param {number} usual */
function bounded(text, least, most, usual) {
  const value = Number(text ?? NaN);
  return Number.isFinite(value) && text !== "" ? Math.max(least, Math.min(most, value)) : usual;
}
