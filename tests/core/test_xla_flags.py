from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os
flags = os.environ.get("XLA_FLAGS")
import numpy as np, tensorflow as tf
from kerasjoint import InverseProblem, ProblemSet, Unknown

class Mixing(InverseProblem):
    unknowns = (Unknown("a", (4,), scale=1.0),)

    def forward(self, xi, x):
        return tf.matmul(xi["a"], tf.constant(np.arange(32.0).reshape(4, 8), xi["a"].dtype))

problem_set = ProblemSet(Mixing(), {}, np.ones((3, 8)))
problem_set.value_and_gradient(problem_set.guess)
assert os.environ.get("XLA_FLAGS") == flags, os.environ["XLA_FLAGS"]
"""


@pytest.mark.parametrize(("flags", "emitted"), [("", True), ("--xla_cpu_multi_thread_eigen=true", False)])
def test_small_products_are_compiled_unless_the_user_sets_the_switch(flags: str, emitted: bool, tmp_path: Path) -> None:
    environment = os.environ | {"XLA_FLAGS": f"--xla_dump_to={tmp_path} {flags}"}
    subprocess.run([sys.executable, "-c", CODE], env=environment, check=True, timeout=200)
    kernels = [path.name for path in tmp_path.glob("*MatMul*kernel*")]
    assert bool(kernels) is emitted
    assert any(tmp_path.iterdir())


def test_the_environment_is_left_as_it_was() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    subprocess.run([sys.executable, "-c", CODE], env=environment, check=True, timeout=200)
