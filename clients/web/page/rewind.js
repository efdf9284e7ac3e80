/** What was said, said again from some place on: transcript messages as they would have come. Pure. */

/** @import { TranscriptMessage } from "../sdk/types.js" */
/** @import { Utterance } from "../sdk/transcript.js" */

/** What stands above the first word that is said again. */
const CONTEXT_MS = 20000;

export class Rewind {
  /** @type {{at: number, message: TranscriptMessage}[]} */
  #messages;
  #next = 0;

  /** @param {readonly Utterance[]} utterances by their begin @param {number} fromMs */
  constructor(utterances, fromMs) {
    this.#messages = utterances
      .filter(({ words }) => words[words.length - 1].end_ms >= fromMs - CONTEXT_MS)
      .flatMap(messages)
      .sort((a, b) => a.at - b.at);
  }

  /** Those up to a moment, each once. @param {number} ms */
  until(ms) {
    const found = [];
    while (this.#next < this.#messages.length && this.#messages[this.#next].at <= ms) {
      found.push(this.#messages[this.#next++].message);
    }
    return found;
  }
}

/** A word each. @param {Utterance} utterance */
function messages({ id, channel, words, language }) {
  return words.map((word, index) => ({
    at: word.start_ms,
    message: /** @type {TranscriptMessage} */ ({
      type: "transcript",
      utterance: id,
      channel,
      revision: index + 1,
      from_word: index,
      words: [{ ...word, state: "final" }],
      final: index === words.length - 1,
      language,
    }),
  }));
}
