"""OpenAI's transcription: live sessions over a WebSocket (`realtime`), and files by POST (`files`)."""
