"""Settings and problem sets that all tests share; problems are reused so that nothing compiles twice."""

from __future__ import annotations

import os

# Before TensorFlow is imported: no log noise, the backend whatever ~/.keras says, no spinning BLAS threads.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Nothing is written to the user's home, and every run of the tests compiles what it tests.
os.environ["KERASJOINT_CACHE"] = "off"

import pytest
from helpers import Decay, Rosenbrock, decay_set, rosenbrock_set

from kerasjoint import ProblemSet
from kerasjoint.problems import Billiards, WavePacket


@pytest.fixture(scope="session")
def decay() -> ProblemSet:
    return decay_set(Decay(), n=4)


@pytest.fixture(scope="session")
def rosenbrock() -> ProblemSet:
    return rosenbrock_set(Rosenbrock(), n=4)


@pytest.fixture(scope="session")
def wave_packet() -> ProblemSet:
    return WavePacket().sample(4, seed=0)


@pytest.fixture(scope="session")
def billiards() -> ProblemSet:
    return Billiards().sample(4, seed=0)


@pytest.fixture(scope="session")
def problem_sets(
    decay: ProblemSet, rosenbrock: ProblemSet, wave_packet: ProblemSet, billiards: ProblemSet
) -> dict[str, ProblemSet]:
    return {"decay": decay, "rosenbrock": rosenbrock, "wave-packet": wave_packet, "billiards": billiards}
