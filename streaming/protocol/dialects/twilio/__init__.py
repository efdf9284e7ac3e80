"""Twilio Media Streams: `/twilio`, and what speaks like it (SignalWire, Telnyx)."""
