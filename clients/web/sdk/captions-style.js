/** The look of the captions. What a page may change are the custom properties that begin with --tympan. */

const CSS = `
:host {
  --ink: var(--tympan-ink, CanvasText);
  --pale: var(--tympan-pale, color-mix(in srgb, CanvasText 62%, Canvas));
  --rule: var(--tympan-rule, color-mix(in srgb, CanvasText 16%, Canvas));
  --accent: var(--tympan-accent, #0b6e6e);
  --wash: var(--tympan-wash, color-mix(in srgb, CanvasText 6%, Canvas));
  --size: var(--tympan-size, 1.5rem);
  display: block;
  position: relative;
  color: var(--ink);
  container-type: inline-size;
  min-height: 0;
}
:host([hidden]) { display: none; }
.log {
  height: 100%;
  overflow: hidden auto;
  overscroll-behavior: contain;
  scrollbar-width: thin;
  scrollbar-color: var(--rule) transparent;
  padding: var(--tympan-padding, 0);
  box-sizing: border-box;
  outline-offset: -2px;
}
.log:focus-visible { outline: 2px solid var(--accent); border-radius: 4px; }
p { margin: 0; }
.utterance { padding: .3em 0 .55em; font-size: var(--size); line-height: 1.42; overflow-wrap: anywhere; }
.meta {
  display: flex;
  gap: .6rem;
  align-items: center;
  height: 1.5rem;
  overflow: hidden;
  font-size: .8125rem;
  line-height: 1.5rem;
  color: var(--pale);
  font-variant-numeric: tabular-nums;
  white-space: nowrap;
}
.who { font-weight: 600; color: var(--accent); text-transform: capitalize; }
.chips { display: flex; gap: .4rem; overflow: hidden; }
.text { display: block; }
.text.lines { white-space: pre-line; }
.letter { position: absolute; width: var(--size); height: 0; }
.word { border-radius: .18em; transition: color .18s; }
.tentative { color: var(--pale); }
:host([clickable]) .word:not(.tentative) { cursor: pointer; }
:host([clickable]) .word:not(.tentative):hover { background: var(--wash); }
.word:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.word.heard { background: var(--accent); color: var(--tympan-on-accent, #fff); box-shadow: 0 0 0 .12em var(--accent); }
.sounds { display: flex; flex-wrap: wrap; gap: .4rem; padding: .45rem 0; }
.notice { margin: .6rem 0; padding-left: .7rem; border-left: 2px solid var(--rule); color: var(--pale); font-size: .9375rem; line-height: 1.5; }
.chip {
  display: inline-flex;
  align-items: center;
  gap: .4rem;
  height: 1.375rem;
  padding: 0 .55rem;
  box-sizing: border-box;
  border-radius: 1rem;
  background: var(--wash);
  color: var(--pale);
  font-size: .75rem;
  line-height: 1;
  white-space: nowrap;
  font-variant-numeric: tabular-nums;
}
.chip b { font-weight: 600; color: var(--ink); }
.chip::before { content: ""; width: .4rem; height: .4rem; border-radius: 50%; background: var(--pale); flex: none; }
.chip.sound::before { background: var(--tympan-sound, #8a5cd0); }
.chip.tone::before { background: var(--tympan-tone, #2f6fd0); }
.chip.call::before { background: var(--tympan-call, #b4541a); }
.chip.answer::before { background: var(--accent); }
.chip time { min-width: 2.2rem; }
.chip.live time::after { content: " …"; }
.chip.live::before { animation: pulse 1.4s ease-in-out infinite; }
@keyframes pulse { 50% { opacity: .25; } }

.heads { display: none; }
:host([layout=columns]) .heads {
  position: sticky;
  top: 0;
  z-index: 1;
  display: grid;
  grid-template-columns: 1fr 1fr;
  gap: 2rem;
  padding: .3rem 0 .4rem;
  background: var(--tympan-paper, Canvas);
  border-bottom: 1px solid var(--rule);
  font-size: .875rem;
}
.head { display: flex; align-items: center; gap: .5rem; font-weight: 600; text-transform: capitalize; }
.head::before { content: ""; width: .5rem; height: .5rem; border-radius: 50%; background: var(--rule); }
.head.speaking::before { background: var(--tympan-live, #1b7f3b); }
:host([layout=columns]) .utterance { font-size: calc(var(--size) * .78); }
:host([layout=columns]) .who { display: none; }
@container (min-width: 40rem) {
  :host([layout=columns]) .group { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem; }
}
@container (max-width: 39.99rem) {
  :host([layout=columns]) .who { display: inline; }
  :host([layout=columns]) .heads { gap: 1rem; }
  :host([layout=columns]) .channel-1 { padding-left: 1rem; border-left: 2px solid var(--rule); }
}

:host([layout=lines]) .log {
  height: calc(var(--rows, 2) * 1.35em);
  font-size: var(--size);
  line-height: 1.35;
  overflow: hidden;
  padding: 0 14px 0 0;
}
:host([layout=lines]) :is(.meta time, .chips, .notice, .latest) { display: none; }
:host([layout=lines]) .utterance { padding: 0; font-size: inherit; line-height: inherit; }
:host([layout=lines]) :is(.meta, .text) { display: inline; font-size: inherit; line-height: inherit; }
:host([layout=lines]) .who::after { content: ":"; }
:host([layout=lines]) .sounds { display: block; padding: 0; }
:host([layout=lines]) .chip { display: inline; padding: 0; background: none; font-size: inherit; line-height: inherit; }
:host([layout=lines]) .chip time, :host([layout=lines]) .chip::before { display: none; }
:host([layout=lines]) .chip b { font-weight: inherit; color: var(--pale); }
:host([layout=lines]) .chip b::before { content: "["; }
:host([layout=lines]) .chip b::after { content: "]"; }

.latest {
  position: absolute;
  right: .75rem;
  bottom: .75rem;
  min-height: 2.25rem;
  padding: .3rem .9rem;
  border: 1px solid var(--rule);
  border-radius: 2rem;
  background: var(--tympan-paper, Canvas);
  color: inherit;
  font: inherit;
  font-size: .875rem;
  cursor: pointer;
  box-shadow: 0 2px 10px rgb(0 0 0 / .12);
}
.latest:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.latest[hidden] { display: none; }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: reduce) {
  .word { transition: none; }
  .chip.live::before { animation: none; }
}
`;

/** @type {CSSStyleSheet | null} */
let sheet = null;

/** One for all elements; made by script, which a strict Content-Security-Policy allows. */
export function captionsStyle() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
