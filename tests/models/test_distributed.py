"""Training shared out over devices and processes gives what one device gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "distributed_training.py"
CASES = ("dense", "convolutional", "chunked", "billiards")


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(SCRIPT.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(SCRIPT), str(folder), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    process = start(folder, "mirrored")
    output = process.communicate(timeout=900)[0]
    assert process.returncode == 0, output
    return folder


def assert_equal_training(first: Path, second: Path, case: str) -> None:
    one, other = (np.load(path) for path in (first, second))
    for name in ("losses", "means", "best", "xi", "weights"):
        np.testing.assert_allclose(one[f"{case}/{name}"], other[f"{case}/{name}"], rtol=2e-4, atol=2e-5, err_msg=name)
    np.testing.assert_array_equal(one[f"{case}/evaluations"], other[f"{case}/evaluations"])
    losses = one[f"{case}/losses"]
    assert len(losses) == 8
    assert losses[-1] < losses[0]


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_two_devices_train_as_one(folder, case):
    assert_equal_training(folder / "alone.npz", folder / "mirrored.npz", case)


@pytest.mark.long
def test_two_processes_train_as_one_and_each_has_all_instances(folder):
    ports = free_ports(2)
    workers = [start(folder, k, *ports) for k in range(2)]
    outputs = [worker.communicate(timeout=900)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    for case in CASES:
        for k in range(2):
            assert_equal_training(folder / "alone.npz", folder / f"worker-{k}.npz", case)
