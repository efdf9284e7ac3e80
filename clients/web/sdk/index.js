/** The browser SDK of Tympan. The web component is apart, in captions-element.js, as it registers itself. */

export { SUPPORTED_RATES, TympanClient } from "./client.js";
export { TympanWatcher } from "./watcher.js";
export { SourceError, TympanError } from "./errors.js";
export { SAMPLE_RATE, Source } from "./source.js";
export { CallSource, MicrophoneSource, TabAudioSource } from "./capture.js";
export { FileSource } from "./file.js";
export { AudioMemory } from "./memory.js";
export { Transcript, joinWords } from "./transcript.js";
export { json, plainText, srt, webvtt } from "./subtitles.js";
export { clock } from "./sounds.js";
