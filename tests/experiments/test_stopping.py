"""Runs that are stopped, by a signal, by a limit of time or by a full disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from stored_rows import sweep, task_of, written
from typer.testing import CliRunner

from kerasjoint.errors import WriteError
from kerasjoint.experiments import tables
from kerasjoint.experiments.cli import app
from kerasjoint.experiments.engine import Engine
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.preset import parse_preset
from kerasjoint.experiments.stopping import Terminated, TimeLimitExceeded, exit_code, time_limit
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import write_tables
from kerasjoint.experiments.task_runs import TaskRuns
from kerasjoint.methods import LBFGS, METHODS

# Whoever starts the tests in the background lets them ignore SIGINT.
COMMAND = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
COMMAND += "import time; from kerasjoint.experiments import store, cli\n"
COMMAND += "def slow(self): print('reading', flush=True); time.sleep(60)\n"
COMMAND += "store.Store.rows = slow; cli.main()\n"
RUN = ("run", "billiards", "--n", "2", "--seeds", "2", "--method", "lbfgs")


@pytest.fixture
def small(tmp_path) -> Store:
    return written(Store(tmp_path / "run"), sweep(1))


def call(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_report_with_a_line_and_its_exit_code(small, number):
    before = {path.name: path.read_bytes() for path in (small.folder / "tables").iterdir()}
    command = [sys.executable, "-c", COMMAND, "report", str(small.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "reading\n"
        process.send_signal(number)
        out, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "kerasjoint report" in out
    assert "Traceback" not in error
    assert before == {path.name: path.read_bytes() for path in (small.folder / "tables").iterdir()}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
def test_a_stopped_run_keeps_what_is_finished_and_says_so(tmp_path, monkeypatch, stop):
    run = TaskRuns._run

    def stopped(self, task):
        if task.seed == 1:
            raise stop
        return run(self, task)

    with monkeypatch.context() as patch:
        patch.setattr(TaskRuns, "_run", stopped)
        result = call(*RUN, "--out", tmp_path / "run")
    assert result.exit_code == exit_code(stop())
    assert "stopped; 1 of 2 tasks are finished, the same command goes on" in result.output
    assert set(Store(tmp_path / "run").rows()["seed"]) == {0}
    assert call(*RUN, "--out", tmp_path / "run").exit_code == 0


def test_an_interrupted_report_leaves_all_tables_as_they_were(small, monkeypatch):
    folder = small.folder / "tables"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    rows = small.rows().assign(loss=1.0)
    calls = []

    def stopped(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return tables.comparison_table(*arguments, **options)

    with pytest.raises(KeyboardInterrupt):
        write_tables(rows, folder, stopped)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_disk_leaves_all_tables_and_is_named(small, monkeypatch):
    folder = small.folder / "tables"
    (folder / "billiards.csv").write_text("of an earlier run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write = Path.write_text

    def full(self, *arguments, **options):
        if self.suffix == ".md":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    result = call("report", small.folder)
    assert isinstance(result.exception, WriteError)
    assert str(result.exception) == f"{folder}/tables.md: cannot be written: No space left on device"
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_disk_stops_the_run_with_a_summary(tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(self, content):
        if "s1" in str(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        result = call(*RUN, "--out", tmp_path / "run")
    assert isinstance(result.exception, WriteError)
    assert "stopped; 1 of 2 tasks are finished" in result.output
    assert set(Store(tmp_path / "run").rows()["seed"]) == {0}


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"file/run/tasks: cannot be written: Not a directory"):
        Store(tmp_path / "file" / "run").open_for([task_of()])


def test_an_error_of_writing_gives_exit_code_1_and_one_line():
    code = "from kerasjoint.experiments import cli; from kerasjoint.errors import WriteError\n"
    code += "def full(*_, **options): raise WriteError('a.csv', 'No space left on device')\n"
    code += "cli._report = full\ncli.main()\n"
    result = subprocess.run([sys.executable, "-c", code, "report", "."], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "error a.csv: cannot be written: No space left on device\n"


def test_a_block_that_takes_too_long_is_stopped():
    begin = time.monotonic()
    with pytest.raises(TimeLimitExceeded, match=r"more than the limit of 0\.1 s"), time_limit(0.1):
        spin(5)
    assert time.monotonic() - begin < 2
    with time_limit(0.2):
        spin(0.01)
    spin(0.3)
    with time_limit(None):
        spin(0.01)


def test_other_threads_have_a_limit_too():
    caught = []

    def limited():
        with time_limit(1):
            spin(0.01)
        try:
            with time_limit(0.1):
                spin(5)
        except TimeLimitExceeded as error:
            caught.append(str(error))
        spin(1.0)
        caught.append("undisturbed afterwards")

    begin = time.monotonic()
    thread = threading.Thread(target=limited)
    thread.start()
    thread.join()
    assert caught == ["more than the limit of 0.1 s", "undisturbed afterwards"]
    assert time.monotonic() - begin < 3


class Slow(LBFGS):
    def solve(self, problem_set, seed=0, **_):
        try:
            spin(20)
        except Exception:
            spin(20)
        raise AssertionError("the limit came too late")


def test_a_task_over_its_limit_is_recorded_and_the_others_finish(tmp_path, monkeypatch):
    right = METHODS.load
    monkeypatch.setattr(METHODS, "load", lambda name: Slow if name == "lbfgs" else right(name))
    content = {"name": "limited", "problems": {"billiards": {"n": [2]}}, "methods": {"lbfgs": {}, "scipy-lbfgs": {}}}
    preset = parse_preset(content, "test")
    store = Store(tmp_path / "run")
    slow, quick = plan(preset)
    Engine(store).run([quick])
    outcome = Engine(store, time_limit=0.5).run([slow, quick])
    reason = "TimeLimitExceeded: more than the limit of 0.5 s"
    assert outcome.failed == {slow.name: reason}
    assert outcome.found == [quick]
    assert store.failed()[["method", "reason"]].to_numpy().tolist() == [["lbfgs", reason]]
    write_tables(store.rows(), tmp_path / "tables", failed=store.failed())
    text = (tmp_path / "tables" / "tables.md").read_text()
    assert "## Tasks without rows" in text
    assert reason in text
    assert pd.read_csv(tmp_path / "tables" / "failed.csv")["task"].tolist() == [slow.name]
    monkeypatch.undo()
    assert Engine(store).run([slow, quick]).run == [slow]
    assert store.failed().empty
    write_tables(store.rows(), tmp_path / "tables", failed=store.failed())
    assert not (tmp_path / "tables" / "failed.csv").exists()


def test_the_command_line_shows_and_keeps_why_a_task_failed(tmp_path, monkeypatch):
    (tmp_path / "fragile.py").write_text(FRAGILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    options = ("--seeds", 1, "--method", "lbfgs", "--n", 2, "--n", 6, "--time-limit", 300)
    result = call("run", "fragile.py:Fragile", *options, "--out", "run")
    assert result.exit_code == 1
    assert "SimulatorError: Fragile.forward: " in result.output
    assert set(Store("run").rows()["n"]) == {2}
    text = (tmp_path / "run" / "tables" / "tables.md").read_text()
    assert "more than 4 are too many" in text
    assert call("report", "run").exit_code == 0
    assert (tmp_path / "run" / "tables" / "tables.md").read_text() == text


FRAGILE = """
import numpy as np
import tensorflow as tf
from kerasjoint import InverseProblem, ProblemSet, Unknown


class Fragile(InverseProblem):
    unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0),)

    def forward(self, xi, x):
        if x["time"].shape[0] > 4:
            raise RuntimeError("more than 4 are too many")
        return tf.exp(-xi["rate"][:, None] * x["time"])

    def sample(self, n, seed):
        time = np.tile(np.linspace(0.1, 2.0, 20), (n, 1))
        return ProblemSet(self, {"time": time}, np.exp(-2 * time), {"rate": np.full(n, 2.0)})
"""
