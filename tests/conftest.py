"""Settings and problem sets that all tests share; problems are reused so that nothing compiles twice."""

from __future__ import annotations

import gc
import os

# Before TensorFlow is imported: no log noise, the backend whatever ~/.keras says, no spinning BLAS threads.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Nothing is written to the user's home, and every run of the tests compiles what it tests.
os.environ["KERASJOINT_CACHE"] = "off"

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import Decay, Rosenbrock, decay_set, rosenbrock_set

from kerasjoint import ProblemSet, batching
from kerasjoint.problems import Billiards, WavePacket

TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run in one process (``--dist loadgroup``) what shares a fixture that is dear, or a problem's compiled code."""
    for item in items:
        group = item.path.name
        if item.path.is_relative_to(TESTS / "experiments"):
            group = "experiments"
        elif group == "test_common.py":
            group = f"test_{item.callspec.params['name'].replace('-', '_')}.py"
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish() -> None:
    """Look seldom for cycles, and not among the million objects of TensorFlow: it takes a tenth of the time else."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.fixture(scope="module")
def few_batch_sizes() -> Iterator[None]:
    """Fill up batches of 1 and 4 instances to larger ones: less to compile where the batches are not what is tested."""
    sizes, power = batching._sizes, batching._power_of_four
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "_sizes", lambda chunk: [size for size in sizes(chunk) if size > 1 or chunk == 1])
        patch.setattr(batching, "_power_of_four", lambda n: max(16, power(n)))
        yield


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
