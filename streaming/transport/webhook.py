"""Delivers reports of calls to one address: the shell of streaming/telephony/deliveries.py.

The order of calls: `put` whenever there is a report; `aclose` at the end, which gives what waits a last chance. A
receiver answers 2xx. Whatever else it says it is tried again, but for what will not change: 4xx other than 408, 425
and 429, and redirects, which are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Final

import httpx

from streaming.config import TelephonySettings
from streaming.observability.metrics import Metrics
from streaming.protocol.reports import DELIVERY_HEADER, SIGNATURE_HEADER, Report, signature
from streaming.telephony.deliveries import Deliveries, Delivery, Outcome

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0
MAX_IN_FLIGHT: Final = 16
MAX_WAITING_BYTES: Final = 64 << 20
MAX_ANSWER_BYTES: Final = 64 << 10
"""Of an answer, which is not looked at: read so that the connection can be used again."""
LAST_CHANCE_S: Final = 3.0
_TRY_AGAIN: Final = (408, 425, 429)


class Webhook:
    def __init__(
        self,
        settings: TelephonySettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`transport`: for tests."""
        self._url = settings.webhook_url
        self._secret = settings.webhook_secret
        self._metrics = metrics
        self._clock = clock
        self._transport = transport
        self._deliveries = Deliveries(
            per_call=settings.webhook_queue,
            max_bytes=MAX_WAITING_BYTES,
            max_in_flight=MAX_IN_FLIGHT,
            give_up_s=settings.webhook_give_up_s,
            random=random.random,
        )
        self._changed = asyncio.Event()
        self._less = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def put(self, queue: str, report: Report) -> None:
        """Takes a report, or drops it where too many wait. Nobody waits for it."""
        if not self._deliveries.put(queue, report.id, report.body, self._clock()):
            self._metrics.reports.labels("overflowed").inc()
            log.warning("report %s was dropped: too many wait for the webhook", report.id)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="webhook")
        self._changed.set()

    async def aclose(self) -> None:
        if self._runner is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_CHANCE_S):
                while self._deliveries.waiting:
                    self._less.clear()
                    await self._less.wait()
        if self._deliveries.waiting:
            log.warning("%d reports were not delivered when the server ended", self._deliveries.waiting)
        for task in (self._runner, *self._sending):
            task.cancel()
        await asyncio.gather(self._runner, *self._sending, return_exceptions=True)

    async def _run(self) -> None:
        timeout, limits = httpx.Timeout(TIMEOUT_S), httpx.Limits(max_connections=MAX_IN_FLIGHT)
        async with httpx.AsyncClient(timeout=timeout, limits=limits, transport=self._transport) as client:
            while True:
                self._changed.clear()
                while (delivery := self._deliveries.take(self._clock())) is not None:
                    sending = asyncio.create_task(self._deliver(client, delivery), name="webhook delivery")
                    self._sending.add(sending)
                    sending.add_done_callback(self._sending.discard)
                due = self._deliveries.due
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                        await self._changed.wait()

    async def _deliver(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        outcome: Outcome = "failed"
        retry_after_s: float | None = None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                outcome, retry_after_s = await self._post(client, delivery)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            log.info("report %s was not delivered: %s", delivery.id, type(error).__name__)
        except Exception:
            log.exception("report %s could not be sent", delivery.id)
        self._metrics.reports.labels(outcome).inc()
        self._deliveries.done(delivery, outcome, self._clock(), retry_after_s)
        self._less.set()
        self._changed.set()

    async def _post(self, client: httpx.AsyncClient, delivery: Delivery) -> tuple[Outcome, float | None]:
        headers = {"Content-Type": "application/json", DELIVERY_HEADER: delivery.id}
        if self._secret:
            headers[SIGNATURE_HEADER] = signature(self._secret, int(time.time()), delivery.body)
        async with client.stream("POST", self._url, content=delivery.body, headers=headers) as answer:
            read = 0
            async for piece in answer.aiter_raw():
                read += len(piece)
                if read > MAX_ANSWER_BYTES:
                    break
            status = answer.status_code
        if 200 <= status < 300:
            return "delivered", None
        if status in _TRY_AGAIN or status >= 500:
            return "failed", _seconds(answer.headers.get("retry-after", ""))
        log.warning("report %s was refused with %d", delivery.id, status)
        return "refused", None


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
