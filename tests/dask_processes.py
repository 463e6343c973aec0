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
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        protocol = "tcp" if tls is None else "tls"
        self.address = f"{protocol}://127.0.0.1:{self.port}"
        self.options = ["--protocol", protocol, "--host", "127.0.0.1", "--no-dashboard"]
        for name, path in zip(("--tls-ca-file", "--tls-cert", "--tls-key"), tls or (), strict=False):
            self.options += [name, str(path)]
        self.running: list[subprocess.Popen[bytes]] = []

    def scheduler(self) -> subprocess.Popen[bytes]:
        started = self._start("scheduler", "--port", str(self.port))
        until(lambda: answers(self.port), 400)
        return started

    def worker(self, **environment: str) -> subprocess.Popen[bytes]:
        options = ("--nthreads", "1", "--no-nanny", "--memory-limit", "0")
        return self._start("worker", self.address, *options, **environment)

    def _start(self, kind: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", CLI.format(kind), *arguments, *self.options]
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
