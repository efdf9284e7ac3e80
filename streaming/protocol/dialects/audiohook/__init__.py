"""Genesys AudioHook, version 2: `/audiohook`."""
