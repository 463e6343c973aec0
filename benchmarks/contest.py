"""Runs contenders side by side: each in its own process, taking turns, several times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 1800.0


@dataclass(frozen=True)
class Contender:
    """What is timed: ``function`` is ``module:name`` in this folder, called with data, n and ``options``."""

    name: str
    function: str
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A contest for some numbers of instances; the first contender is the reference of all ratios."""

    name: str
    sizes: tuple[int, ...]
    contenders: tuple[Contender, ...]
    repetitions: int = 5


class Missing(Exception):
    """A contender whose library is not installed."""


class Worker:
    """The process of one contender."""

    def __init__(self, contender: Contender, data: Path, n: int, log: Path) -> None:
        arguments = json.dumps({"data": str(data), "n": n} | contender.options)
        quiet = {"OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": os.getcwd()}
        began = time.perf_counter()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", contender.function, arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | quiet | contender.environment,
            )
        self._log = log
        first = self._answer()
        self.cold_start = time.perf_counter() - began
        if "missing" in first:
            self.stop()
            raise Missing(first["missing"])
        self.versions = ", ".join(f"{library} {version}" for library, version in first["versions"].items())

    def run(self) -> dict[str, Any]:
        """Run once; return seconds and whatever the contender reports."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a contender ended early; see {self._log}")
        return json.loads(line)


def contest(case: Case, data: Path, log: Path, repetitions: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each run: case, n, contender, repetition, seconds and facts; or one that says what is missing."""
    for n in case.sizes:
        workers: dict[str, Worker] = {}
        try:
            for contender in case.contenders:
                row = {"case": case.name, "n": n, "contender": contender.name}
                try:
                    workers[contender.name] = Worker(contender, data, n, log)
                except Missing as error:
                    yield row | {"missing": str(error)}
            for repetition in range(repetitions):
                for name, worker in workers.items():
                    row = {"case": case.name, "n": n, "contender": name, "repetition": repetition}
                    yield row | {"cold_start": worker.cold_start, "versions": worker.versions} | worker.run()
        finally:
            for worker in workers.values():
                worker.stop()
