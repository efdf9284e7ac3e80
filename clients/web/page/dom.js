/** Small things for all pages. */

/**
 * An element by its id; it is there, or the page is broken.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function $(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no #${id}`);
  return /** @type {T} */ (found);
}

/** The folder that all routes are in, whatever page this is. */
export const ROOT = new URL("..", import.meta.url).href;

/** A sentence at the bottom, for a moment. @param {string} text */
export function toast(text) {
  const said = $("said");
  said.textContent = text;
  said.hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => { said.hidden = true; }, 2500);
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let toasting;

/** @param {string} text @param {string} done what is said then */
export async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    toast(done);
  } catch {
    toast("This browser does not let the page copy.");
  }
}

/** @param {string} name @param {string} type @param {string} text */
export function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Menus stand beside their buttons, above where there is more room. */
export function placeMenus() {
  for (const menu of document.querySelectorAll(".menu")) {
    menu.addEventListener("toggle", (event) => {
      if (/** @type {ToggleEvent} */ (event).newState !== "open") return;
      const button = document.querySelector(`[popovertarget="${menu.id}"]`);
      if (button) place(/** @type {HTMLElement} */ (menu), button.getBoundingClientRect());
    });
  }
}

/** @param {HTMLElement} menu @param {DOMRect} by */
function place(menu, by) {
  const { offsetWidth: width, offsetHeight: height } = menu;
  const above = by.top > innerHeight - by.bottom;
  menu.style.left = `${Math.max(12, Math.min(by.right - width, innerWidth - width - 12))}px`;
  menu.style.top = `${Math.max(12, above ? by.top - height - 8 : by.bottom + 8)}px`;
}

/** A language for people. @param {string} code */
export function languageName(code) {
  try {
    return new Intl.DisplayNames([navigator.language], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}
