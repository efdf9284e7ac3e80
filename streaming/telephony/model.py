"""A call as a whole: facts on the sample clock in, live events out, a state that can be stored. Pure.

    speech began / ended ──▶ edges, in the order of the clock ──▶ floor: turns, talk time, interruptions
    sounds and tones     ──▶                                  ├─▶ quiet: silence, dead air, talk-over
                                                              └─▶ holds
    words                ──▶ keywords, at once

Facts wait until `advance` says that nothing before a position is still to be told, and are then worked off in the
order of the clock together with the thresholds that pass between them. So cutting an `advance` into smaller ones
changes nothing. A sound that is told late, after `advance` has passed its begin, counts from its begin all the same
where the silence or the hold that it is about still lasts; what was told by then stays told.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

import msgspec

from streaming.telephony.events import CallEvent
from streaming.telephony.floor import Floor, Role
from streaming.telephony.hold import Hold
from streaming.telephony.keywords import Occurrence, Phrases, Spotter, Word
from streaming.telephony.quiet import Quiet
from streaming.telephony.settings import CallSettings
from streaming.telephony.sounds import MAX_OPEN, Sound, key, meaning, plain
from streaming.telephony.spans import MAX_LISTED
from streaming.telephony.state import OFF, ON, SOUND, CallState, Edge, Hit, Side, SoundPhase, decode, encode


class CallModel:
    """One call with one or two channels. Memory is bounded: lists have MAX_LISTED entries, those of channels that many
    each, and say what they dropped.

    Order of calls: `speech_started` and `speech_ended` of each channel in turns, `sound` and `words` as they are told,
    `advance` again and again; `finish` once no audio follows; `words` of late finals may still come after it.
    """

    def __init__(self, channels: int, settings: CallSettings) -> None:
        self.settings = settings
        self._phrases = Phrases(settings.keywords)
        self.data = CallState(
            floor=Floor([Role() for _ in range(channels)]),
            quiet=Quiet.new(),
            sides=[Side(Hold(channel), Spotter()) for channel in range(channels)],
            hit_counts=[0] * len(settings.keywords),
        )
        """What the summary is made of."""

    def state(self) -> bytes:
        """All that it knows, beside its settings."""
        return encode(self.data)

    def restore(self, state: bytes) -> None:
        """Goes on where another one of the same settings was. Raises ValueError: the state is damaged."""
        data = decode(state)
        same = len(data.sides) == len(data.floor.roles) == len(self.data.sides)
        if not same or len(data.hit_counts) != len(self.data.hit_counts):
            raise ValueError("the call's state is of other channels or keywords")
        self.data = data

    # -- facts ------------------------------------------------------------------------------------------------------

    def speech_started(self, channel: int, onset_sample: int) -> None:
        """At or before the end of the speech that was told last, that speech goes on: it was cut in two."""
        edges = self.data.edges
        onset_sample = max(onset_sample, self.data.sides[channel].told_offset)
        ended = (OFF, channel, onset_sample)
        split = next((one for one in edges if (one.order, one.channel, one.start) == ended), None)
        if split is not None:
            edges.remove(split)
        else:
            self._put(Edge(onset_sample, ON, channel, start=onset_sample))

    def speech_ended(self, channel: int, offset_sample: int) -> None:
        self.data.sides[channel].told_offset = offset_sample
        self._put(Edge(offset_sample, OFF, channel, start=offset_sample))

    def sound(self, channel: int, label: str, phase: SoundPhase, start_sample: int, end_sample: int | None) -> None:
        """A sound or tone; what belongs together has the same `start_sample` and, but for tones, the same label."""
        at = start_sample if end_sample is None or phase in ("start", "update") else end_sample
        self._put(Edge(at, SOUND, channel, plain(label), phase, start_sample, end_sample))

    def words(self, channel: int, utterance: int, words: Sequence[Word], *, final: bool) -> list[CallEvent]:
        """All words of an utterance as they stand now; of each utterance one final, in the order of the channel."""
        spotter = self.data.sides[channel].spotter
        if not final:
            return _of(channel, spotter.stable(self._phrases, utterance, words))
        self.data.floor.roles[channel].words += sum(not word.glued for word in words)
        found, events = spotter.final(self._phrases, utterance, words)
        for one in found:
            self._count(channel, utterance, one)
        return _of(channel, events)

    def advance(self, told_until: Sequence[int]) -> list[CallEvent]:
        """`told_until`: for each channel the position up to which it is known whether it speaks. Facts before the
        lowest of them are worked off, and thresholds that pass before it."""
        return self._work_off(min(told_until))

    def finish(self, at_sample: int) -> list[CallEvent]:
        """The call is over: what lasts ends here."""
        data = self.data
        if data.finished:
            return []
        events = self._work_off(at_sample + 1)
        for channel, role in enumerate(data.floor.roles):
            if role.speaking_since is not None:
                events += self._speech_off(channel, at_sample)
        for channel, side in enumerate(data.sides):
            for sound in side.open:
                self._log(channel, Sound(sound.label, sound.start, at_sample))
            events += self._close_hold(channel, *side.hold.close(at_sample))
        events += data.quiet.finish(at_sample, self.settings.dead_air_samples)
        data.position, data.finished = at_sample, True
        return events

    # -- the timeline -----------------------------------------------------------------------------------------------

    def _put(self, edge: Edge) -> None:
        edge = msgspec.structs.replace(edge, at=max(edge.at, self.data.position))
        insort(self.data.edges, edge, key=lambda one: (one.at, one.order, one.channel if one.order != SOUND else 0))

    def _work_off(self, until: int) -> list[CallEvent]:
        data, events = self.data, list[CallEvent]()
        while True:
            due = self._due()
            edge = data.edges[0] if data.edges and data.edges[0].at < until else None
            if due is not None and due < until and (edge is None or due <= edge.at):
                events += self._pass_threshold(due)
            elif edge is not None:
                data.edges.pop(0)
                data.position = max(data.position, edge.at)
                events += self._take(edge)
            else:
                break
        data.position = max(data.position, until)
        return events

    def _due(self) -> int | None:
        settings, data = self.settings, self.data
        moments = [data.quiet.due(settings.dead_air_samples, settings.talk_over_samples)]
        moments += [side.hold.due(settings.hold_samples) for side in data.sides]
        return min((moment for moment in moments if moment is not None), default=None)

    def _pass_threshold(self, at: int) -> list[CallEvent]:
        settings, data = self.settings, self.data
        for channel, side in enumerate(data.sides):
            if side.hold.due(settings.hold_samples) == at:
                ended, events = side.hold.pass_threshold()
                return self._close_hold(channel, ended, events) + self._occupied(channel, side)
        return data.quiet.pass_threshold(at, settings.dead_air_samples)

    def _take(self, edge: Edge) -> list[CallEvent]:
        if edge.order == ON:
            self.data.floor.begins(edge.channel, edge.at)
            self.data.sides[edge.channel].hold.speech(True, edge.at)
            return self._speaking(edge.at)
        if edge.order == OFF:
            return self._speech_off(edge.channel, edge.at)
        return self._take_sound(edge)

    def _speech_off(self, channel: int, at: int) -> list[CallEvent]:
        events = self.data.floor.ends(channel, at, self.settings.interruption_samples)
        self.data.sides[channel].hold.speech(False, at)
        return [*events, *self._speaking(at)]

    def _speaking(self, at: int) -> list[CallEvent]:
        return self.data.quiet.speaking(self.data.floor.speaking, at, self.settings.dead_air_samples)

    # -- sounds -----------------------------------------------------------------------------------------------------

    def _take_sound(self, edge: Edge) -> list[CallEvent]:
        side, tone = self.data.sides[edge.channel], _is_tone(edge.label)
        known = next(
            (
                sound
                for sound in side.open
                if sound.start == edge.start and (sound.label == edge.label or (tone and _is_tone(sound.label)))
            ),
            None,
        )
        events: list[CallEvent] = []
        if known is None or known.label != edge.label:
            events += self._ends(edge.channel, known, edge.start, log=False) if known is not None else []
            known = Sound(edge.label, edge.start, edge.start)
            events += self._begins(edge.channel, known)
        if edge.phase in ("end", "instant"):
            events += self._ends(edge.channel, known, edge.start if edge.end is None else edge.end, log=True)
        return events

    def _begins(self, channel: int, sound: Sound) -> list[CallEvent]:
        side, role = self.data.sides[channel], self.data.floor.roles[channel]
        events: list[CallEvent] = []
        if len(side.open) >= MAX_OPEN:
            events += self._ends(channel, side.open[0], side.open[0].start, log=False)
        side.open.append(sound)
        at = sound.start if role.speaking_since is not None else max(sound.start, role.silent_since)
        what = meaning(sound.label)
        if what == "music":
            side.hold.music(True, at)
        if what in ("music", "progress"):
            events += self.data.quiet.occupied(f"{sound.label} {channel}", at, self.settings.dead_air_samples)
        return events

    def _ends(self, channel: int, sound: Sound, at: int, *, log: bool) -> list[CallEvent]:
        side = self.data.sides[channel]
        if sound in side.open:
            side.open.remove(sound)
        if log:
            self._log(channel, Sound(sound.label, sound.start, at))
        what = meaning(sound.label)
        if what in ("music", "progress") and not any(one.label == sound.label for one in side.open):
            self.data.quiet.free(f"{sound.label} {channel}", at)
        if what == "music" and not any(meaning(one.label) == "music" for one in side.open):
            side.hold.music(False, at)
        if what == "beep" and log:
            return [*side.hold.beep(sound.start, at), *self._occupied(channel, side)]
        return []

    def _log(self, channel: int, sound: Sound) -> None:
        side, what = self.data.sides[channel], meaning(sound.label)
        if what == "key":
            side.keys.add(Sound(key(sound.label), sound.start, sound.end))
        if what in ("progress", "beep"):
            side.tones.add(sound)

    # -- holds and keywords -----------------------------------------------------------------------------------------

    def _occupied(self, channel: int, side: Side) -> list[CallEvent]:
        """A hold keeps silence from being dead."""
        if side.hold.open_since is None:
            return []
        since = max(side.hold.open_since, self.data.floor.roles[channel].silent_since)
        return self.data.quiet.occupied(f"hold {channel}", since, self.settings.dead_air_samples)

    def _close_hold(self, channel: int, ended: tuple[int, int] | None, events: list[CallEvent]) -> list[CallEvent]:
        if ended is not None:
            self.data.sides[channel].holds.add(*ended)
            self.data.quiet.free(f"hold {channel}", ended[1])
        return events

    def _count(self, channel: int, utterance: int, one: Occurrence) -> None:
        side = self.data.sides[channel]
        self.data.hit_counts[one.phrase] += 1
        if len(side.hits) < MAX_LISTED:
            side.hits.append(Hit(one.phrase, utterance, one.start, one.end))
        else:
            side.hits_dropped += 1


def _is_tone(label: str) -> bool:
    """One sound that a tone detector names anew is the same tone."""
    return meaning(label) in ("progress", "beep") or label == "tone"


def _of(channel: int, events: Sequence[CallEvent]) -> list[CallEvent]:
    return [msgspec.structs.replace(event, channel=channel) for event in events]
