"""Reports reach a receiver that fails for a while, in their order and signed; what it refuses is not tried again."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable

import httpx

from streaming.config import TelephonySettings
from streaming.observability.metrics import Metrics
from streaming.protocol.reports import Report
from streaming.transport.webhook import LAST_CHANCE_S, Webhook
from tests.support.virtual_time import in_virtual_time

URL = "https://crm.example/hook"


class Receiver:
    """Answers as scripted, then 200; keeps what came."""

    def __init__(self, *answers: int | Exception, retry_after: str = "") -> None:
        self.heard: list[httpx.Request] = []
        self.at: list[float] = []
        self._answers = list(answers)
        self._headers = {"Retry-After": retry_after} if retry_after else {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.heard.append(request)
        self.at.append(asyncio.get_running_loop().time())
        answer = self._answers.pop(0) if self._answers else 200
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers=self._headers, stream=httpx.ByteStream(b"whatever"))

    @property
    def ids(self) -> list[str]:
        return [request.headers["tympan-delivery"] for request in self.heard]


def webhook(receiver: Callable[[httpx.Request], httpx.Response], metrics: Metrics | None = None) -> Webhook:
    settings = TelephonySettings(webhook_url=URL, webhook_secret="s3cret", webhook_queue=3)
    loop = asyncio.get_running_loop()
    return Webhook(settings, metrics or Metrics(), loop.time, httpx.MockTransport(receiver))


def put(hook: Webhook, *ids: str, call: str = "call") -> None:
    for name in ids:
        hook.put(call, Report(name, json.dumps({"id": name}).encode()))


@in_virtual_time
async def test_reports_come_signed_and_in_order() -> None:
    receiver = Receiver()
    hook = webhook(receiver)
    put(hook, "a", "b", "c")
    await hook.aclose()
    assert receiver.ids == ["a", "b", "c"]
    request = receiver.heard[0]
    assert (str(request.url), request.method, json.loads(request.content)) == (URL, "POST", {"id": "a"})
    assert request.headers["content-type"] == "application/json"
    fields = dict(part.split("=") for part in request.headers["tympan-signature"].split(","))
    mac = hmac.new(b"s3cret", f"{fields['t']}.".encode() + request.content, hashlib.sha256)
    assert fields["v1"] == mac.hexdigest()


@in_virtual_time
async def test_a_receiver_that_is_away_gets_them_all_when_it_is_back() -> None:
    receiver = Receiver(503, httpx.ConnectError("away"), 429, httpx.ReadTimeout("slow"))
    hook = webhook(receiver)
    put(hook, "a", "b")
    await asyncio.sleep(60)
    assert receiver.ids == ["a", "a", "a", "a", "a", "b"]
    await hook.aclose()


@in_virtual_time
async def test_the_pauses_grow_and_a_wish_is_respected() -> None:
    receiver = Receiver(500, 500, 500)
    hook = webhook(receiver)
    put(hook, "a")
    await asyncio.sleep(60)
    pauses = [later - earlier for earlier, later in zip(receiver.at, receiver.at[1:], strict=False)]
    assert [round(pause / base) for pause, base in zip(pauses, (0.5, 1.0, 2.0), strict=True)] == [1, 1, 1]
    await hook.aclose()
    receiver = Receiver(503, retry_after="30")
    hook = webhook(receiver)
    put(hook, "a")
    await asyncio.sleep(60)
    assert receiver.at[1] - receiver.at[0] == 30.0
    await hook.aclose()


@in_virtual_time
async def test_what_is_refused_for_good_does_not_hold_up_the_next() -> None:
    receiver = Receiver(400, 302)
    metrics = Metrics()
    hook = webhook(receiver, metrics)
    put(hook, "a", "b", "c")
    await hook.aclose()
    assert receiver.ids == ["a", "b", "c"]
    rendered = metrics.render().decode()
    assert 'tympan_webhook_reports_total{outcome="refused"} 2.0' in rendered
    assert 'tympan_webhook_reports_total{outcome="delivered"} 1.0' in rendered


@in_virtual_time
async def test_one_call_fills_its_own_queue_only() -> None:
    metrics = Metrics()
    receiver = Receiver(*[503] * 3)
    hook = webhook(receiver, metrics)
    put(hook, "a", "b", "c", "d")
    put(hook, "other", call="another")
    await asyncio.sleep(60)
    assert set(receiver.ids) == {"a", "b", "c", "other"}
    assert 'tympan_webhook_reports_total{outcome="overflowed"} 1.0' in metrics.render().decode()
    await hook.aclose()


@in_virtual_time
async def test_the_end_of_the_server_waits_a_moment_only() -> None:
    receiver = Receiver(*[503] * 100)
    hook = webhook(receiver)
    put(hook, "a")
    before = asyncio.get_running_loop().time()
    await hook.aclose()
    assert asyncio.get_running_loop().time() - before == LAST_CHANCE_S


@in_virtual_time
async def test_a_long_answer_is_not_read_to_its_end() -> None:
    read = 0

    async def endless():  # type: ignore[no-untyped-def]
        nonlocal read
        while True:
            read += 1 << 14
            yield bytes(1 << 14)

    hook = webhook(lambda request: httpx.Response(200, content=endless()))
    put(hook, "a")
    await hook.aclose()
    assert 0 < read < 1 << 18
