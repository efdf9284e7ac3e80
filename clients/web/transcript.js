/** Transcript messages put together: diffs by `from_word` applied, for all utterances that are still open. */

export class Transcript {
  #open = new Map();

  /** The utterance after the message: {id, final, stable, tentative}, texts ready to be shown. */
  apply({ utterance: id, from_word: fromWord, words, final = false }) {
    const known = this.#open.get(id) ?? [];
    const all = known.slice(0, fromWord).concat(words);
    if (final) this.#open.delete(id);
    else this.#open.set(id, all);
    return {
      id,
      final,
      stable: join(all.filter((word) => word.state !== "tentative")),
      tentative: join(all.filter((word) => word.state === "tentative")),
    };
  }
}

function join(words) {
  return words.reduce((text, word) => text + (text && !word.glued ? " " : "") + word.text, "");
}
