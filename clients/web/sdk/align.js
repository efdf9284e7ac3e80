/** Which words are still there. */

/** @import { Word } from "./types.js" */

/** @param {Word} a @param {Word} b */
export function same(a, b) {
  return a.text === b.text && (a.glued ?? false) === (b.glued ?? false);
}

/**
 * So many words at the beginning are the same.
 * @param {readonly Word[]} old
 * @param {readonly Word[]} words
 */
export function commonStart(old, words) {
  let length = 0;
  while (length < old.length && length < words.length && same(old[length], words[length])) length++;
  return length;
}

/**
 * Index pairs of a longest common subsequence, both rising: as many words as can have stayed.
 * @param {readonly Word[]} old
 * @param {readonly Word[]} words
 */
export function matches(old, words) {
  const width = words.length + 1;
  const longest = new Uint16Array((old.length + 1) * width); // of old[i:] and words[j:]
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = words.length - 1; j >= 0; j--) {
      longest[i * width + j] = same(old[i], words[j])
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  /** @type {[number, number][]} */
  const pairs = [];
  for (let i = 0, j = 0; i < old.length && j < words.length;) {
    if (same(old[i], words[j])) pairs.push([i++, j++]);
    else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i++;
    else j++;
  }
  return pairs;
}
