from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import Decay

from kerasjoint import ProblemSet, Solution
from kerasjoint.methods import LockstepLBFGS, MultiStart

RATES = np.array([0.5, 1.5, 2.5, 3.5])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def noisy() -> ProblemSet:
    """Four decays in noise."""
    time = np.tile(np.linspace(0.1, 2.0, 20), (4, 1))
    y = np.exp(-RATES[:, None] * time) + 0.05 * np.random.default_rng(0).normal(size=(4, 20))
    return ProblemSet(Decay(), {"time": time}, y, {"rate": RATES})


@pytest.fixture(scope="session")
def descended(noisy: ProblemSet) -> Solution:
    return LockstepLBFGS().solve(noisy)


@pytest.fixture(scope="session")
def many(noisy: ProblemSet) -> Solution:
    return MultiStart(60).solve(noisy)
