"""How far finite differences step: within bounds, to the other side, further where a simulator is noisy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from wrappers.waves import LOWER, TIMES, UPPER, Waves, on_host, start_of, waves

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, SimulatorWarning, Status, Unknown, wrap_numpy
from kerasjoint.methods import LockstepLM

pytestmark = pytest.mark.usefixtures("few_batch_sizes")


def test_steps_stay_inside_of_bounds_and_calls_are_of_bounded_size() -> None:
    seen, sizes = [], []

    def watched(size, rate, offset):
        seen.append((size.min(), rate.min(), rate.max()))
        sizes.append(len(size))
        return on_host(size, rate, offset)

    problem_set = waves(Waves(wrap_numpy(watched)), n=600)
    xi = np.tile([1e-300, LOWER + 1e-12, 1e3], (600, 1))
    xi[300:, 1] = UPPER - 1e-12
    gradient = problem_set.value_and_gradient(xi)[1]
    least, lowest, highest = (
        extreme(part) for extreme, part in zip((min, min, max), zip(*seen, strict=True), strict=True)
    )
    assert (least > 0, lowest > LOWER, highest < UPPER) == (True, True, True)
    assert max(sizes) <= 1024
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("digits", "step"), [(4, None), (16, 0.1)])
def test_steps_of_narrow_bounds_far_from_zero_stay_inside(digits, step) -> None:
    seen = []

    def watched(rate):
        seen.extend(rate)
        return np.round(np.exp(-(rate - 1000.0)[:, None] * TIMES), digits)

    class Narrow(InverseProblem):
        unknowns = (Unknown("rate", lower=1000.0, upper=1001.0),)
        difference_step = step

        def __init__(self):
            self.simulator = wrap_numpy(watched)

        def forward(self, xi, x):
            return self.simulator(xi["rate"])

    truth = np.array([[1000.2], [1000.9], [1000.01]])
    problem_set = ProblemSet(Narrow(), y=np.exp(-(truth - 1000) * TIMES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimulatorWarning)
        LockstepLM().solve(problem_set)
    assert 1000 <= min(seen) < max(seen) <= 1001


class Root(InverseProblem):
    """Defined up to 2 alone, which no bound tells."""

    unknowns = (Unknown("end", lower=0.0, upper=10.0, guess=1.0),)

    def __init__(self) -> None:
        self.simulator = wrap_numpy(lambda end: np.emath.sqrt(2 - end[:, None]).real / (end[:, None] <= 2))

    def forward(self, xi, x):
        return self.simulator(xi["end"])


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_the_other_side_is_tried_where_a_simulation_is_not_finite() -> None:
    problem_set = ProblemSet(Root(), y=np.full((3, 1), 0.5))
    at = np.array([[2 - 1e-9], [1.0], [2.5]])
    loss, gradient = problem_set.value_and_gradient(at)
    np.testing.assert_array_equal(np.isfinite(loss), [True, True, False])
    assert gradient[0, 0] > 0
    assert gradient[1, 0] == pytest.approx(-(1 - 0.5), rel=1e-6)
    assert gradient[2, 0] == 0


def noisy(digits):
    return wrap_numpy(lambda *unknowns: np.round(on_host(*unknowns), digits))


@pytest.mark.parametrize("simulator", [noisy(4), wrap_numpy(lambda *unknowns: on_host(*unknowns).astype(np.float32))])
def test_noisy_simulators_get_longer_steps(simulator) -> None:
    problem_set = waves(Waves(simulator))
    with pytest.warns(SimulatorWarning, match=r"Waves.forward is noisy: .* set difference_step to choose"):
        found = LockstepLM().solve(problem_set, start=start_of(problem_set))
    expected = LockstepLM().solve(waves(Waves()), start=start_of(problem_set))
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-2)


def test_steps_are_those_of_what_does_not_fail() -> None:
    def failing(size, rate, offset):
        result = on_host(size, rate, offset).astype(np.float32)
        result[rate > 9] = np.nan
        return result

    problem_set, others = waves(Waves(wrap_numpy(failing))), [1, 2, 3, 4]
    start, expected = start_of(problem_set), LockstepLM().solve(waves(Waves()), start=start_of(waves(Waves()))).loss
    bad = start.copy()
    bad[[0, 5]] = problem_set.space.to_z(np.tile([[1.0, 9.5, 1.0]], (2, 1)), problem_set.guess[[0, 5]])
    with pytest.warns(SimulatorWarning, match=r"Waves.forward is noisy"):
        mixed = LockstepLM().solve(problem_set, start=bad)
    assert mixed.status[0] == Status.NON_FINITE
    np.testing.assert_allclose(mixed.loss[others], expected[others], rtol=1e-2)
    # What was learned serves the next set, as if that one had come first.
    np.testing.assert_allclose(LockstepLM().solve(problem_set, start=start).loss, expected, rtol=1e-2)


def test_noise_in_one_result_is_seen_beside_a_large_smooth_one() -> None:
    class Two(Waves):
        def forward(self, xi, x):
            return self.simulator(xi["size"], xi["rate"], xi["offset"])

        def residuals(self, prediction, y, x):
            return {"large": prediction["large"] - 1e6, "wave": prediction["wave"] - y}

    def both(size, rate, offset):
        return {"large": 1e6 * (1 + 1e-9 * size[:, None] ** 2), "wave": on_host(size, rate, offset).astype(np.float32)}

    problem_set = waves(Two(wrap_numpy(both, shape={"large": (1,), "wave": (len(TIMES),)})))
    with pytest.warns(SimulatorWarning, match="Two.forward is noisy"):
        found = LockstepLM().solve(problem_set, start=start_of(problem_set))
    expected = LockstepLM().solve(waves(Waves()), start=start_of(problem_set))
    np.testing.assert_allclose(found.xi[:, 1], expected.xi[:, 1], rtol=1e-3)


def test_a_chosen_step_is_taken() -> None:
    class Chosen(Waves):
        difference_step = 1e-3

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem_set = waves(Chosen(noisy(4)))
        found = LockstepLM().solve(problem_set, start=start_of(problem_set))
    assert (found.loss < 10 * problem_set.truth_loss).all()


@pytest.mark.parametrize("step", [0, 1.0, -1e-3, "small", np.nan, 1e-20])
def test_steps_that_are_none_are_refused(step) -> None:
    class Wrong(Waves):
        difference_step = step

    with pytest.raises(ArgumentError, match=r"Wrong.difference_step: expected a number from 1e-14 to 0.1, or None"):
        waves(Wrong(wrap_numpy(on_host)))
