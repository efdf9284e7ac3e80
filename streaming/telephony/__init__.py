"""What a call center wants to know of a call: who talks, when nobody does, holds, keys, keywords. Pure.

`CallModel` takes facts on the sample clock and gives live events and a summary. Positions are samples at 16 kHz.
"""

from streaming.telephony.events import CallEvent
from streaming.telephony.keywords import Word
from streaming.telephony.model import CallModel
from streaming.telephony.settings import CallSettings
from streaming.telephony.summary import summarise

__all__ = ["CallEvent", "CallModel", "CallSettings", "Word", "summarise"]
