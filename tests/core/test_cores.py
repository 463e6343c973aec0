from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, decay_set

from kerasjoint import ArgumentError, ProblemSet, set_cores
from kerasjoint.batching import padded_size, pieces
from kerasjoint.cores import cores
from kerasjoint.tensor_problem_set import TensorProblemSet

XI = np.linspace(0.3, 4.5, 11)[:, None]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    set_cores(None)


@pytest.fixture(scope="module", params=[4, 5])
def chunked(request: pytest.FixtureRequest) -> ProblemSet:
    problem = Decay()
    problem.chunk = request.param  # with 5, one core and two cut 11 into whole chunks and a smaller piece
    return decay_set(problem, n=11)


def test_results_do_not_depend_on_the_number(chunked: ProblemSet) -> None:
    expected = decay_set(Decay(), n=11).value_and_gradient(XI)
    for count in (1, 2, 3, 16):
        set_cores(count)
        assert cores() == count
        for got, wanted in zip(chunked.value_and_gradient(XI), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-13)
        np.testing.assert_allclose(chunked.objective(XI), expected[0], rtol=1e-13)
        np.testing.assert_allclose(chunked.problem.simulate(XI, chunked.x), np.exp(-XI * chunked.x["time"]), rtol=1e-14)
        tensors = TensorProblemSet.of(chunked, tf.float64)
        xi = tf.constant(XI)
        with tf.GradientTape() as tape:
            tape.watch(xi)
            loss = tensors.objective(xi)
        np.testing.assert_allclose(loss, expected[0], rtol=1e-13)
        np.testing.assert_allclose(tape.gradient(loss, xi), expected[1], rtol=1e-13)


def test_some_instances_alone(chunked: ProblemSet) -> None:
    value, gradient = chunked.value_and_gradient(XI)
    for rows in ([3], [10, 0, 7], [2, 2, 5, 2], list(range(11))[::-1]):
        some = chunked.value_and_gradient(XI[rows], np.array(rows))
        np.testing.assert_allclose(some[0], value[rows], rtol=1e-13)
        np.testing.assert_allclose(some[1], gradient[rows], rtol=1e-13)
        np.testing.assert_allclose(chunked.objective(XI[rows], np.array(rows)), value[rows], rtol=1e-13)
    with pytest.raises(ArgumentError, match="xi: expected 2 instances as asked for, got 11"):
        chunked.value_and_gradient(XI, np.array([0, 1]))


@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("chunk", [1, 4, 16, 32, 33, 64])
def test_pieces_are_few_sizes_that_share_the_work(count: int, chunk: int) -> None:
    set_cores(count)
    sizes = {size for n in range(1, 300) for size, _ in pieces(n, chunk)}
    assert max(sizes) == chunk
    assert len(sizes) <= 3
    for n in range(1, 300):
        cut = pieces(n, chunk)
        padded = padded_size(n, chunk)
        assert padded == sum(size * pieces for size, pieces in cut)
        assert n <= padded < n + cut[-1][0]
        assert len(cut) == 1 or (cut[0][0] == chunk and cut[0][1] % count == 0)
        # A core has at most the work of as many chunks as there would be without smaller sizes.
        assert sum(-(-pieces // count) * size for size, pieces in cut) <= -(-n // (chunk * count)) * chunk
        size, last = cut[-1]
        # Of the last size a core has one piece, or few instead of one that is eight times as large.
        assert size == chunk or last <= count or (last <= 3 * count and 8 * size <= chunk)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_a_useless_number_is_refused(count: object) -> None:
    with pytest.raises(ArgumentError, match="count: expected a positive integer"):
        set_cores(count)
