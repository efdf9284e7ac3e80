/** Where the service is, and how a key is shown to it. */

const SUBPROTOCOL = "tympan.v1.json";

/**
 * The URL of a WebSocket route of a server.
 * @param {string} server http, https, ws or wss; a path before the routes may follow
 * @param {string} route without a leading slash
 */
export function socketUrl(server, route) {
  const url = new URL(route, withSlash(server));
  url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}

/**
 * The URL of an HTTP route of a server.
 * @param {string} server
 * @param {string} route
 */
export function httpUrl(server, route) {
  const url = new URL(route, withSlash(server));
  url.protocol = url.protocol.replace("ws", "http");
  return url.href;
}

/**
 * A browser's WebSocket has no headers, and a query would stand in the logs of proxies: a key is a subprotocol.
 * @param {string} token "" shows none
 */
export function subprotocols(token) {
  return token ? [SUBPROTOCOL, `tympan.key.${token}`] : [SUBPROTOCOL];
}

/** @param {string} token @returns {Record<string, string>} */
export function authorization(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/**
 * A handshake that fails tells a page nothing. Whether the key was the reason, a request for a session that is not
 * there says: 401 comes before everything else.
 * @param {string} server
 * @param {string} token
 */
export async function isUnauthorized(server, token) {
  try {
    const answer = await fetch(httpUrl(server, "v1/sessions/-"), { headers: authorization(token) });
    return answer.status === 401;
  } catch {
    return false;
  }
}

/** @param {string} server */
function withSlash(server) {
  const base = typeof location === "undefined" ? undefined : location.href;
  const url = new URL(server, base);
  url.search = url.hash = "";
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}
