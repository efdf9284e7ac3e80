/** What can go wrong, told in sentences for people and codes for programs. */

/** Codes are those of the server's `error` messages, and `unreachable`, `connection_lost`, `bad_server_message`,
 * `too_many_commands` of the client itself. */
export class TympanError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {boolean} [retryable] the same may succeed later
   * @param {number} [retryAfterMs] but not before
   */
  constructor(code, message, retryable = false, retryAfterMs = 0) {
    super(message);
    this.name = "TympanError";
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Why there is no sound. */
export class SourceError extends Error {
  /**
   * @param {"denied" | "missing" | "busy" | "insecure" | "unsupported" | "silent" | "unreadable" | "failed"} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = "SourceError";
    this.code = code;
  }
}
