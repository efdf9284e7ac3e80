"""The captions page measured in a real browser."""
