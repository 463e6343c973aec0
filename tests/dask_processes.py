"""Real Dask processes on the loopback interface: a scheduler and its workers, each killed at the end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CLI = "from distributed.cli import dask_{0}; dask_{0}.main()"


class DaskProcesses:
    """Starts a scheduler at ``address``, and workers of one thread each.

    ``tls``: files of the authority, the certificate and its key; without them nothing is encrypted.
    """

    def __init__(self, folder: Path, tls: tuple[Path, Path, Path] | None = None) -> None:
        self.folder = folder
        self.tls = () if tls is None else ("--tls-ca-file", tls[0], "--tls-cert", tls[1], "--tls-key", tls[2])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"{'tls' if tls else 'tcp'}://127.0.0.1:{self.port}"
        self.running: list[subprocess.Popen[bytes]] = []

    def scheduler(self) -> subprocess.Popen[bytes]:
        started = self._start(
            "scheduler",
            "--protocol",
            self.address[:3],
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--no-dashboard",
        )
        until(lambda: answers(self.port), 400)
        return started

    def worker(self, **environment: str) -> subprocess.Popen[bytes]:
        options = (
            "--protocol",
            self.address[:3],
            "--host",
            "127.0.0.1",
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--memory-limit",
            "0",
        )
        return self._start("worker", self.address, *options, **environment)

    def _start(self, kind: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", CLI.format(kind), *arguments, *map(str, self.tls)]
        with open(self.folder / f"{kind}.log", "ab") as log:
            started = subprocess.Popen(command, cwd=self.folder, env=os.environ | environment, stdout=log, stderr=log)
        self.running.append(started)
        return started


@contextmanager
def dask_processes(folder: Path, tls: tuple[Path, Path, Path] | None = None) -> Iterator[DaskProcesses]:
    processes = DaskProcesses(folder, tls)
    try:
        yield processes
    finally:
        for one in processes.running:
            one.kill()
        for one in processes.running:
            one.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; fail if it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)
