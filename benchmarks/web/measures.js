/**
 * Put into a page before it loads: what moves, what changes and how smoothly, while captions come. `tympanMeasures()`
 * gives it all since the page began:
 *
 * - `firstWordMs`: from the navigation's begin to the first word in the page
 * - `layoutShift`: the sum of the layout shifts that no input caused (Layout Instability API)
 * - `shown`, `changed`, `removed`: words that appeared, and of these those whose text changed or that went away
 * - `longestFrameMs`, `frames`, `secondsOfFrames`
 */
(() => {
  const found = { firstWordMs: null, layoutShift: 0, shown: 0, changed: 0, removed: 0, longestFrameMs: 0, frames: 0 };
  let framesSince = null;

  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) found.layoutShift += value;
  }).observe({ type: "layout-shift", buffered: true });

  const isWord = (node) => node.nodeType === 1 && node.classList.contains("word");
  const watchWords = (captions) => {
    new MutationObserver((changes) => {
      for (const { type, target, addedNodes, removedNodes } of changes) {
        if (type === "characterData" && target.parentElement?.classList.contains("word")) found.changed++;
        found.shown += [...addedNodes].filter(isWord).length;
        // An utterance that becomes plain text keeps its words.
        if (target.isConnected && target.querySelector?.(".word")) found.removed += [...removedNodes].filter(isWord).length;
      }
      if (found.shown) found.firstWordMs ??= performance.now();
    }).observe(captions.shadowRoot.querySelector(".body"), { childList: true, characterData: true, subtree: true });
  };

  document.addEventListener("DOMContentLoaded", () => {
    customElements.whenDefined("tympan-captions").then(() => watchWords(document.querySelector("tympan-captions")));
    let last = null;
    const frame = (now) => {
      framesSince ??= now;
      if (last !== null) {
        found.frames++;
        found.longestFrameMs = Math.max(found.longestFrameMs, now - last);
      }
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });

  window.tympanMeasures = () => ({ ...found, secondsOfFrames: (performance.now() - framesSince) / 1000 });
  window.tympanForgetFrames = () => {
    framesSince = null;
    found.frames = found.longestFrameMs = 0;
  };
})();
