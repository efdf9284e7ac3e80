/**
 * The server's messages, as docs/protocol.md has them: fields that are left out have their defaults there.
 *
 * @typedef {object} Word
 * @property {number} id unique in the session
 * @property {string} text
 * @property {number} start_ms
 * @property {number} end_ms
 * @property {number} confidence 0 to 1
 * @property {"tentative" | "stable" | "final"} state
 * @property {boolean} [glued] no space stands before it
 *
 * @typedef {object} AudioFormat
 * @property {string} [encoding]
 * @property {number} sample_rate
 * @property {number} [channels]
 * @property {string[] | null} [labels] one per channel
 *
 * @typedef {object} Numbered
 * @property {number} [seq] 1, 2, 3 … of what is said of the audio
 *
 * @typedef {Numbered & {type: "ready", session: string, resume_token?: string, resumed?: boolean, next_sample?: number,
 *   commands?: number, model: {name: string, device: string, dtype: string}, audio: AudioFormat, tasks?: object[],
 *   interim: string, endpointing: object, call?: object | null, max_message_bytes: number}} Ready
 * @typedef {Numbered & {type: "ack", sample: number, commands?: number}} Ack
 * @typedef {Numbered & {type: "speech", channel: number, state: "started" | "ended", utterance: number, at_ms: number,
 *   rule?: string}} Speech
 * @typedef {Numbered & {type: "transcript", utterance: number, channel: number, revision: number, from_word: number,
 *   words: Word[], final?: boolean, text?: string, corrected?: number, decoded_until_ms?: number, lag_ms?: number,
 *   language?: string | null}} TranscriptMessage
 * @typedef {Numbered & {type: "event", label: string, channel: number, start_ms: number, end_ms?: number | null,
 *   score?: number | null, phase?: "start" | "update" | "end" | "instant",
 *   source?: "tagger" | "tones" | "description" | "endpointing" | "signalling"}} SoundEvent
 * @typedef {Numbered & {type: "call", kind: "dead_air" | "talk_over" | "hold" | "interruption" | "keyword",
 *   phase?: "start" | "end" | "instant", channel?: number | null, start_ms: number, end_ms?: number | null,
 *   keyword?: string | null, utterance?: number | null, reason?: string | null}} CallEvent
 * @typedef {Numbered & {type: "call_summary", call: object}} CallSummary
 * @typedef {Numbered & {type: "analysis", utterance: number, channel: number, task: string, index: number,
 *   start_ms: number, end_ms: number, text?: string, labels?: string[], complete?: boolean,
 *   error?: string | null}} Analysis
 * @typedef {Numbered & {type: "marker", id: string, sample: number}} MarkerEcho
 * @typedef {Numbered & {type: "gap", from_sample: number, to_sample: number, reason: "client" | "overflow" | "lost",
 *   channel?: number | null}} Gap
 * @typedef {Numbered & {type: "answer", id: string, delta?: string, done?: boolean, text?: string | null,
 *   error?: {code: string, message: string} | null}} Answer
 * @typedef {Numbered & {type: "load", level: "normal" | "slow_interims" | "finals_only" | "refusing", lag_ms: number,
 *   interim_ms: number, durable?: boolean}} Load
 * @typedef {Numbered & {type: "goaway", deadline_ms: number, reason?: string}} GoAway
 * @typedef {Numbered & {type: "error", code: string, message: string, retryable?: boolean,
 *   retry_after_ms?: number | null, fatal?: boolean}} ErrorMessage
 * @typedef {Numbered & {type: "summary", audio_ms: number, speech_ms: number, utterances: number, words: number,
 *   corrected?: number, gaps?: number}} Summary
 * @typedef {Numbered & {type: "watching", session: string, audio: AudioFormat, tasks: object[], interim: string,
 *   first_seq?: number, last_seq?: number, done?: boolean}} Watching
 *
 * @typedef {Ready | Ack | Speech | TranscriptMessage | SoundEvent | CallEvent | CallSummary | Analysis | MarkerEcho
 *   | Gap | Answer | Load | GoAway | ErrorMessage | Summary | Watching} ServerMessage
 *
 * Two messages are the client's own:
 *
 * @typedef {{type: "reconnecting", reason: string, attempt: number, delay_ms: number}} Reconnecting
 * @typedef {{type: "reconnected", attempts: number, lost_ms: number}} Reconnected `lost_ms` of audio could not be kept
 *
 * @typedef {ServerMessage | Reconnecting | Reconnected} Message
 *
 * And what is sent beside audio:
 *
 * @typedef {{type: "marker" | "finalize" | "configure" | "stop", id?: string} & Record<string, unknown>} Command
 */

/**
 * @typedef {object} SourceFormat what the samples are
 * @property {number} sampleRate 8000, 16000, 24000, 44100 or 48000
 * @property {number} [channels] 1 or 2
 * @property {string[] | null} [labels] one per channel
 */

/**
 * @typedef {object} SavedSession what another page needs to go on with a session; it holds the right to speak
 * @property {SourceFormat} format
 * @property {Record<string, unknown>} options
 * @property {string} session
 * @property {string} token
 * @property {number} lastSeq
 * @property {number} first position of `audio`
 * @property {string} audio what is not acknowledged, s16le in base64
 * @property {number} firstCommand
 * @property {{place: number, message: Command}[]} commands
 */

export {};
