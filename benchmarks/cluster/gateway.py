"""A gateway with one worker, as a process on a port that it keeps over its lives."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.cluster.process import Identity, Process, end, free_port, http_get
from benchmarks.load.resources import children

START_S = 120.0
PROBE_S = 1.0
TYMPAN_SERVE = ("streaming.cli.main", "serve")
SCRIPTED = ("benchmarks.cluster.scripted",)
"""With workers that have no model: each half second of audio is a word that is its checksum."""


class GatewayProcess(Process):
    """Order of calls: `start`; `kill` or `terminate`; `start` again."""

    def __init__(self, name: str, folder: Path, module: Sequence[str], settings: Mapping[str, str]) -> None:
        """`settings`: the environment beside this process' own."""
        super().__init__(folder / f"{name}.log")
        self.name = name
        self.port = free_port()
        self._module = module
        self._settings = settings
        self._workers: list[Identity] = []

    async def start(self) -> None:
        """Returns when it takes sessions. Raises ProcessError."""
        command = [sys.executable, "-m", *self._module]
        settings = {**self._settings, "TYMPAN_SERVER_PORT": str(self.port)}
        await self.launch(command, settings, self.ready, START_S)
        self.note_worker()

    async def ready(self) -> bool:
        answer = await http_get(self.port, "/readyz", PROBE_S)
        return answer is not None and answer[0] == 200

    async def worker_restarts(self) -> int | None:
        """How often a new worker took the place of a lost one; None: it does not answer."""
        answer = await http_get(self.port, "/metrics", PROBE_S)
        if answer is None:
            return None
        families = {family.name: family for family in text_string_to_metric_families(answer[1])}
        found = families.get("tympan_worker_restarts")
        return int(found.samples[0].value) if found else 0

    def note_worker(self) -> Identity | None:
        """The worker that runs; it is remembered, so that none is left behind."""
        found = [identity for pid in children(self.pid or 0) if (identity := Identity.of(pid))]
        self._workers = [worker for worker in {*self._workers, *found} if worker.alive]
        return found[0] if found else None

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    async def kill(self) -> None:
        self.note_worker()
        await super().kill()

    async def end_orphans(self) -> None:
        """Workers whose gateway is gone."""
        self.note_worker()
        for worker in self._workers:
            if self.pid is None or worker.pid not in children(self.pid):
                worker.send(signal.SIGCONT)
                await end(worker)
