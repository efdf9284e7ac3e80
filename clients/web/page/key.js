/** The API key, where the server wants one: from `#key=…` in the address, which browsers send to nobody, or typed in. */

const NAME = "tympan.key";

/** "" where there is none. */
export function apiKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) return given;
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

/** For as long as this tab is open. @param {string} key */
export function useKey(key) {
  history.replaceState(null, "", location.pathname + location.search);
  sessionStorage.setItem(NAME, key);
}
