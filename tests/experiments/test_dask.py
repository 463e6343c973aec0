"""Runs on Dask clusters: a scheduler and workers in processes of their own, over TCP on the loopback interface."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from dask_processes import DaskProcesses, dask_processes, until
from distributed import Security
from stored_rows import in_order
from typer.testing import CliRunner

from kerasjoint.errors import ArgumentError, ClusterError
from kerasjoint.experiments.cli import app
from kerasjoint.experiments.dask_engine import TLS
from kerasjoint.experiments.store import Store
from kerasjoint.optional import MissingPackageError, require

COMMAND = "from kerasjoint.experiments import cli; cli.main()"
HELD = """
import os
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from kerasjoint import InverseProblem, ProblemSet, Unknown

HERE = Path(__file__).parent


class Held(InverseProblem):
    unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0),)

    def forward(self, xi, x):
        return tf.exp(-xi["rate"][:, None] * x["time"])

    def sample(self, n, seed):
        (HERE / f"began-{n}").write_text(str(os.getpid()))
        while (HERE / "hold").exists() and n == 3:
            time.sleep(0.01)
        rate = np.random.default_rng(seed).uniform(0.5, 4.0, n)
        time_ = np.tile(np.linspace(0.1, 2.0, 20), (n, 1))
        return ProblemSet(self, {"time": time_}, np.exp(-rate[:, None] * time_), {"rate": rate})
"""
TASKS = ("run", "held.py:Held", "--n", "2", "--n", "3", "--n", "4", "--method", "lbfgs", "--method", "reparameterized")


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "held.py").write_text(HELD)
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\nproblems: {held.py:Held: {n: [2, 3, 4]}}\nmethods: {lbfgs: {}, reparameterized: {epochs: 5}}\n"
    )
    return tmp_path


@pytest.fixture
def dask(folder):
    with dask_processes(folder) as processes:
        yield processes


def start(folder: Path, out: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, "run", "--preset", "tiny.yaml", "--out", out, *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(folder: Path, out: str, *options: str) -> tuple[int, str]:
    process = start(folder, out, *options)
    output = process.communicate(timeout=900)[0]
    return process.returncode, output


def assert_same_rows(folder: Path, first: str, second: str) -> None:
    unlike = ["seconds"]
    for read in (Store.rows, Store.traces):
        one, other = (in_order(read(Store(folder / out))).drop(columns=unlike) for out in (first, second))
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def on(dask: DaskProcesses) -> tuple[str, ...]:
    return ("--engine", "dask", "--scheduler", dask.address)


@pytest.mark.long
def test_two_workers_give_the_rows_of_the_local_run_bit_for_bit(folder, dask):
    dask.scheduler()
    workers = {str(dask.worker().pid) for _ in range(2)}
    code, output = run(folder, "cluster", *on(dask))
    assert code == 0, output
    began = {(folder / f"began-{n}").read_text() for n in (2, 3, 4)}
    assert began <= workers
    assert run(folder, "local")[0] == 0
    assert_same_rows(folder, "local", "cluster")
    first, second = (folder / out / "tables" for out in ("local", "cluster"))
    assert {path.name for path in first.iterdir()} == {path.name for path in second.iterdir()}
    metadata = Store(folder / "cluster").metadata().iloc[0]
    assert metadata["command"].startswith("kerasjoint run --preset tiny.yaml --out cluster --engine dask")
    # The same command again finds everything, and asks no worker.
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("cluster/tasks/*/rows.parquet")}
    assert run(folder, "cluster", *on(dask))[0] == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in folder.glob("cluster/tasks/*/rows.parquet")}


@pytest.mark.long
def test_a_local_cluster_of_two_processes_gives_the_same_rows(folder):
    code, output = run(folder, "cluster", "--engine", "dask", "--workers", "2", "--cores", "1")
    assert code == 0, output
    assert run(folder, "local", "--cores", "1")[0] == 0
    assert_same_rows(folder, "local", "cluster")


@pytest.mark.long
def test_a_worker_killed_within_a_task_costs_that_task_alone(folder, dask):
    (folder / "hold").write_text("")
    dask.scheduler()
    workers = [dask.worker() for _ in range(2)]
    process = start(folder, "cluster", *on(dask))
    until(lambda: (folder / "began-3").exists() and (folder / "began-3").read_text() != "", 400)
    victim = int((folder / "began-3").read_text())
    assert victim in [worker.pid for worker in workers]
    finished = {path.name for path in (folder / "cluster" / "tasks").glob("[!.]*")}
    os.kill(victim, signal.SIGKILL)
    (folder / "hold").unlink()
    output = process.communicate(timeout=900)[0]
    assert process.returncode == 0, output
    assert int((folder / "began-3").read_text()) != victim
    assert len(Store(folder / "cluster").metadata()) == 6 >= len(finished)
    assert run(folder, "local")[0] == 0
    assert_same_rows(folder, "local", "cluster")


@pytest.mark.long
def test_a_lost_scheduler_is_an_error_and_the_same_command_goes_on(folder, dask):
    (folder / "hold").write_text("")
    scheduler = dask.scheduler()
    for _ in range(2):
        dask.worker()
    process = start(folder, "cluster", *on(dask))
    # One worker is held by a task of n = 3; the other finishes those of n = 2 at least.
    until(lambda: (folder / "began-3").exists() and len([*folder.glob("cluster/tasks/*n2*")]) == 2, 400)
    scheduler.kill()
    output = process.communicate(timeout=400)[0]
    assert process.returncode == 1
    assert f"error the scheduler {dask.address} was lost" in output
    assert "Traceback" not in output
    stopped = next(line for line in output.splitlines() if line.startswith("stopped; "))
    assert "of 6 tasks are finished, the same command goes on from them" in stopped
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("cluster/tasks/*/rows.parquet")}
    assert len(stamps) >= 2
    (folder / "hold").unlink()
    scheduler.wait()
    dask.scheduler()
    dask.worker()
    code, output = run(folder, "cluster", *on(dask))
    assert code == 0, output
    assert stamps.items() <= {p: p.stat().st_mtime_ns for p in folder.glob("cluster/tasks/*/rows.parquet")}.items()
    assert run(folder, "local")[0] == 0
    assert_same_rows(folder, "local", "cluster")


@pytest.mark.long
def test_a_worker_of_another_version_is_refused_by_name(folder, dask):
    other = folder / "other" / "kerasjoint-0.0.7.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: kerasjoint\nVersion: 0.0.7\n")
    dask.scheduler()
    dask.worker()
    path = os.pathsep.join([str(other.parent), os.environ.get("PYTHONPATH", "")])
    dask.worker(PYTHONPATH=path)
    until(lambda: (folder / "worker.log").read_text().count("Registered to") == 2, 400)
    code, output = run(folder, "cluster", *on(dask))
    assert code == 1
    assert "workers: expected kerasjoint 0.1.0 on each, as here, got others: tcp://127.0.0.1:" in output
    assert "has 0.0.7" in output
    assert not [*folder.glob("cluster/tasks/[!.]*")]


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Write an authority of its own, a certificate that it signed, and the key."""
    folder.mkdir()
    made = Security.temporary()
    texts = {"ca.pem": made.tls_ca_file, "cert.pem": made.tls_client_cert, "key.pem": made.tls_client_key}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder / "ca.pem", folder / "cert.pem", folder / "key.pem"


@pytest.mark.long
def test_certificates_open_a_scheduler_and_others_do_not(folder):
    own, foreign = certificates(folder / "own"), certificates(folder / "foreign")
    with dask_processes(folder, own) as dask:
        dask.scheduler()
        dask.worker()
        with_own, with_foreign = (
            (*on(dask), *(word for pair in zip(TLS, map(str, files), strict=True) for word in pair))
            for files in (own, foreign)
        )
        code, output = run(folder, "cluster", *with_own)
        assert code == 0, output
        assert run(folder, "local")[0] == 0
        assert_same_rows(folder, "local", "cluster")
        plain = ("--engine", "dask", "--scheduler", dask.address.replace("tls", "tcp"))
        for refused in (with_foreign, plain):
            code, output = run(folder, "refused", *refused)
            assert code == 1
            assert "no scheduler answers" in output
            assert "Traceback" not in output
    assert not [*folder.glob("refused/tasks/[!.]*")]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--engine", "spark"), "--engine: expected dask"),
        (("--engine", "dask"), "--engine dask: expected --scheduler ADDRESS for a running cluster"),
        (("--engine", "dask", "--workers", "2", "--scheduler", "tcp://a:1"), "got both"),
        (("--workers", "2"), "--workers: expected --engine dask beside it"),
        (("--engine", "dask", "--scheduler", "tls://a:1"), "--tls-ca: expected a file in PEM format"),
        (("--engine", "dask", "--workers", "1", "--tls-ca", "ca.pem"), "--tls-ca: expected a scheduler tls://"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(tmp_path, monkeypatch, options, named):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["run", "billiards", "--n", "2", *options])
    assert isinstance(result.exception, ArgumentError)
    assert named in str(result.exception)
    assert not (tmp_path / "results").exists()


def test_an_address_where_nobody_answers_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kerasjoint.experiments.dask_engine.CONNECT_SECONDS", 0.5)
    arguments = ["run", "billiards", "--n", "2", "--engine", "dask", "--scheduler", "tcp://127.0.0.1:9"]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ClusterError)
    assert "tcp://127.0.0.1:9: no scheduler answers" in str(result.exception)


def test_the_extra_is_named_where_it_is_missing():
    with pytest.raises(MissingPackageError, match=r"pip install kerasjoint\[dask\]"):
        require("distributed_of_nowhere", extra="dask")
