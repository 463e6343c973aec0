from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import numpy as np
import tensorflow as tf
from kerasjoint.problems import Billiards
from kerasjoint.methods import METHODS
assert tf.config.threading.get_inter_op_parallelism_threads() == 0
problem_set = Billiards().sample(3, seed=0)
for name in METHODS:
    trains = not METHODS.load(name).refined
    searches = "polish" in vars(METHODS.load(name)()) or name.endswith("multi-start")
    budget = {"evaluations": 5} if searches else {"epochs": 2} if trains else {}
    assert np.isfinite(METHODS.load(name)(**budget).solve(problem_set).loss).all(), name
print("done")
"""


@pytest.mark.long
def test_every_method_works_where_tensorflow_has_one_thread() -> None:
    environment = os.environ | {"TF_NUM_INTEROP_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert result.stdout.strip() == "done", result.stderr[-2000:]
