"""Other services' wire formats, each a pure module over the same session.

A dialect translates: what its clients send into the session's messages (streaming/protocol/messages.py), what the
session says into what its clients read. It owns no behaviour: endpoints, words, limits and queues are the session's,
and a feature that the session lacks is built there, or is accepted and told of as a difference in
docs/compatibility.md.

To add one:

1. Write a class with the methods of `streaming.protocol.dialect.Dialect`, made from a `Handshake`. `start` is the
   session's where the request says it all (it is refused by HTTP then, before the upgrade), else `receive` returns
   a `Start` once it is known, as the first message for the session. Times come as arguments, and ids and dates with
   the handshake: no clock, no randomness, no socket. What the client does wrong raises `ProtocolError`.
2. Use what is here. `samples.SampleClock` gives bytes of any cut their place on the clock, torn samples too;
   `parameters.Parameters` reads a query; `utterances.Utterances` keeps the words of what is being said. Audio that is
   no plain samples goes out as `Encoded` and comes to the session through a decoding process (`source` says of what
   kind it is); the dialect never sees the samples.
3. Give every command its place: `receive` returns messages in the order in which the session shall have them. Where
   an answer must come after everything said so far, return a `Marker` and answer its `MarkerEcho`.
4. Refusals before the upgrade, and errors after it, have the shape that the SDKs read: a function from ProtocolError
   to JSON, and `say` for `Error`. `goodbye` turns the native close code into one that does what the clients expect.
5. Enter it in the table of `streaming/transport/dialects.py`, with the path, how it lets clients in, and the refusal.
6. Tests: exchanges as a specification (tests/unit/protocol/dialects), the cut of the audio changes nothing
   (tests/properties), garbage at a live server (tests/integration/test_dialect_garbage.py has a table), the real SDK
   (tests/sdks), a guide in docs/guides, and its row in docs/compatibility.md.

A telephone line is a dialect with a `call` (`CallDialect`), entered in the table of `streaming/transport/telephony.py`;
its words go to others as well. `telephony` has what lines share: options, keys, and silence where the clock must go on.
Keys, and what one channel lacks, are a `Signal`. docs/telephony.md is its page.

Never send a client a message type that its service does not have: SDKs crash on them. New things go into messages that
exist, and only where the client asked for them.
"""
