"""Numbers that must not be said: cards, dates of birth, phone numbers, account digits. Pure."""

from streaming.transcript.redaction.numbers import KINDS
from streaming.transcript.redaction.redactor import MASKED_KEY, RedactionState, Redactor

__all__ = ["KINDS", "MASKED_KEY", "RedactionState", "Redactor"]
