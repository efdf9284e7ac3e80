"""What a command tells its user when it cannot go on."""

from __future__ import annotations


class UserError(Exception):
    """One sentence, with the remedy where there is one. It ends the command with exit code 2, without a traceback."""
