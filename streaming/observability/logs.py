"""Logs on stderr, one line each. No transcript text and no audio ever goes into them."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logs(level: str) -> None:
    """`level`: debug, info, warning or error; libraries speak from warnings on, whatever it is."""
    logging.basicConfig(format=FORMAT, level=logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(is_worth_saying)
    for room in ("streaming", "inference", "vad", "session_store"):
        logging.getLogger(room).setLevel(level.upper())


def is_worth_saying(record: logging.LogRecord) -> bool:
    """uvicorn takes a WebSocket that is refused by HTTP for an app that forgot it."""
    return record.msg != "ASGI callable returned without completing handshake."
