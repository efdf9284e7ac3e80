"""Whatever the link does: the server gets everything once, at its place, and the application hears everything once."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tympan_client import MarkerReached, Reconnected, SessionOptions, Summary
from tympan_client.events import Event
from tympan_client.protocol import ClientProtocol

from streaming.protocol import messages
from streaming.protocol.codec import decode_client
from tests.support.client_wire import READY, hear, resumed

RATE = 16_000
CAPACITY = 40  # samples
Item = tuple[str, int]
"""A sample's value, or a command's id."""


@dataclass
class ModelServer:
    """Remembers what it was sent up to the last place that it stored, and what it said since it began."""

    items: list[Item] = field(default_factory=list)
    position: int = 0
    commands: int = 0
    stopped: bool = False
    log: list[messages.ServerMessage] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    stored: tuple[list[Item], int, int, bool, list[tuple[int, int]]] = field(
        default_factory=lambda: ([], 0, 0, False, [])
    )

    def store(self) -> messages.Ack:
        self.stored = (list(self.items), self.position, self.commands, self.stopped, list(self.gaps))
        return messages.Ack(sample=self.position, commands=self.commands)

    def restore(self) -> None:
        items, self.position, self.commands, self.stopped, gaps = self.stored
        self.items, self.gaps = list(items), list(gaps)

    def hear(self, message: messages.ClientMessage | messages.RawAudio) -> list[messages.ServerMessage]:
        match message:
            case messages.Start(resume=None):
                return [READY]
            case messages.Start(resume=resume):
                self.restore()
                again = self.log[max(0, resume.last_seq - 1) :]  # one more than was asked for
                return [resumed(self.position, self.commands), *again]
            case messages.Audio(first_sample=first, data=data):
                if first > self.position:
                    self.gaps.append((self.position, first))
                    self.position = first
                return self._place(data[max(0, self.position - first) * 2 :])
            case messages.RawAudio(data=data):
                return self._place(data)
            case messages.Stop():
                self.commands, self.stopped = self.commands + 1, True
                return self._say(messages.Summary(audio_ms=0, speech_ms=0, utterances=0, words=0), "stop")
        self.commands += 1
        if isinstance(message, messages.Finalize):
            self.items.append(("finalize", self.commands))
            return []
        self.items.append(("marker", int(message.id)))
        return self._say(messages.MarkerEcho(id=message.id, sample=self.position), message.id)

    def _place(self, data: bytes) -> list[messages.ServerMessage]:
        for at in range(0, len(data), 2):
            self.items.append(("sample", int.from_bytes(data[at : at + 2], "little")))
        self.position += len(data) // 2
        return []

    def _say(self, message: messages.ServerMessage, key: str) -> list[messages.ServerMessage]:
        """What was said before a loss, and is worked out again after it, is not said again."""
        if any(getattr(said, "id", "stop") == key for said in self.log):
            return []
        message.seq = len(self.log) + 1
        self.log.append(message)
        return [message]


@dataclass
class Link:
    """Carries messages both ways as far as the test lets it, and loses what is under way when it is cut."""

    client: ClientProtocol
    server: ModelServer
    up: list[bytes | str] = field(default_factory=list)
    down: list[messages.ServerMessage] = field(default_factory=list)
    heard: list[Event] = field(default_factory=list)

    def connect(self) -> None:
        self.up, self.down = [self.client.start()], []

    def cut(self) -> None:
        self.client.lost()
        self.connect()

    def carry_up(self, count: int) -> None:
        self.up += iter(self.client.next_payload, None)
        for payload in self.up[:count]:
            self.down += self.server.hear(decode_client(self.client.codec, payload))
        del self.up[:count]

    def carry_down(self, count: int) -> None:
        for message in self.down[:count]:
            event = hear(self.client, message)
            if event is not None:
                self.heard.append(event)
        del self.down[:count]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(1, 15)),
        st.tuples(st.sampled_from(["marker", "finalize", "cut", "ack"]), st.just(0)),
        st.tuples(st.sampled_from(["up", "down"]), st.integers(1, 5)),
    ),
    min_size=20,
    max_size=80,
)


@given(steps=steps, codec=st.sampled_from(["msgpack", "json"]), live=st.booleans())
@settings(max_examples=200, deadline=None)
def test_everything_arrives_once_and_in_order_over_a_lossy_link(
    steps: list[tuple[str, int]], codec: str, live: bool
) -> None:
    client = ClientProtocol(SessionOptions(), codec, unacknowledged_s=CAPACITY / RATE)
    server = ModelServer()
    link = Link(client, server)
    link.connect()
    link.carry_up(1)
    link.carry_down(1)
    sent: list[Item] = []
    commands = 0
    for step, amount in steps:
        match step:
            case "audio":
                piece = b"".join((client.next_sample + i).to_bytes(2, "little") for i in range(amount))
                if client.has_room(piece, "drop" if live else "wait"):
                    sent += [("sample", client.next_sample + i) for i in range(amount)]
                    client.audio(piece)
            case "marker":
                commands += 1
                sent.append(("marker", commands))
                client.marker(str(commands))
            case "finalize":
                commands += 1
                sent.append(("finalize", commands))
                client.finalize()
            case "up":
                link.carry_up(amount)
            case "down":
                link.carry_down(amount)
            case "ack":
                link.down.append(server.store())
            case "cut":
                link.cut()
    client.stop()
    while client.state != "finished":
        link.carry_up(1000)
        link.carry_down(1000)

    missing = {sample for begin, end in server.gaps for sample in range(begin, end)}
    assert server.items == [item for item in sent if item[0] != "sample" or item[1] not in missing]
    assert live or not missing
    lost = sum(round(event.lost_s * RATE) for event in link.heard if isinstance(event, Reconnected))
    assert lost >= len(missing)  # told again where a resume did not last until the gap was stored
    numbered = [event for event in link.heard if isinstance(event, MarkerReached | Summary)]
    assert [event.seq for event in numbered] == list(range(1, len(server.log) + 1))
    assert [event.id for event in numbered if isinstance(event, MarkerReached)] == [
        str(number) for kind, number in sent if kind == "marker"
    ]
