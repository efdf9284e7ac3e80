"""Deepgram's `/v1/listen`: live over a WebSocket (`live`), and recordings by POST (`recorded`)."""
