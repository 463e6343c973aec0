from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os
flags = os.environ.get("XLA_FLAGS")
from kerasjoint.problems import KuramotoSivashinsky
problem_set = KuramotoSivashinsky(points=32, end=1.0, stored=2).sample(3, seed=0)
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
