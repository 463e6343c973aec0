from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerasjoint import xla_flags

CODE = """
import os
flags = os.environ.get("XLA_FLAGS")
import numpy as np, tensorflow as tf
from kerasjoint import InverseProblem, ProblemSet, Unknown

class Product(InverseProblem):
    unknowns = (Unknown("u", shape=(8,), scale=1.0),)

    def forward(self, xi, x):
        return tf.matmul(xi["u"], x["matrix"][0])

matrix = np.random.default_rng(0).normal(size=(3, 8, 8))
ProblemSet(Product(), {"matrix": matrix}, np.zeros((3, 8))).objective(np.ones((3, 8)))
assert os.environ.get("XLA_FLAGS") == flags, os.environ["XLA_FLAGS"]
"""


def test_small_products_are_compiled(tmp_path: Path) -> None:
    environment = os.environ | {"XLA_FLAGS": f"--xla_dump_to={tmp_path}"}
    subprocess.run([sys.executable, "-c", CODE], env=environment, check=True, timeout=200)
    assert any(tmp_path.glob("*MatMul*kernel*"))


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, " --xla_cpu_multi_thread_eigen=false"),
        ("--xla_dump_to=x", "--xla_dump_to=x --xla_cpu_multi_thread_eigen=false"),
        ("--xla_cpu_multi_thread_eigen=true", "--xla_cpu_multi_thread_eigen=true"),
    ],
)
def test_the_switch_is_there_while_xla_starts_unless_the_user_set_it(
    given: str | None, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    during = []
    monkeypatch.setattr(xla_flags, "_compile_something", lambda: during.append(os.environ.get("XLA_FLAGS")))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if given is not None:
        monkeypatch.setenv("XLA_FLAGS", given)
    xla_flags.start_xla.__wrapped__()
    assert during == [seen]
    assert os.environ.get("XLA_FLAGS") == given
