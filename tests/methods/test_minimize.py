from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from kerasjoint import ArgumentError, SimulatorError, Solution, Status, minimize
from kerasjoint.methods import LBFGS, Reparameterized

TARGETS = np.random.default_rng(0).uniform(-1, 1, (5, 2))
START = np.tile([0.3, -0.2], (5, 1))


def bowl(x, a):
    return tf.reduce_sum((x - a) ** 2 * [1.0, 4.0], axis=1) - 3


@pytest.mark.parametrize(
    "method", ["lbfgs", "scipy-lbfgs", Reparameterized(epochs=3)], ids=["lbfgs", "scipy-lbfgs", "network"]
)
@pytest.mark.parametrize("bounds", [None, [(-2, 2), (-1.5, 3)]], ids=["free", "bounded"])
def test_a_quadratic_with_known_optimum(method: object, bounds: object) -> None:
    result = minimize(bowl, START, args=(TARGETS,), method=method, bounds=bounds)
    np.testing.assert_allclose(result.x, TARGETS, atol=1e-7)
    np.testing.assert_allclose(result.fun, -3, atol=1e-12)
    assert result.success.all()
    assert (result.x.shape, result.fun.shape, result.nfev.shape, result.nit.shape) == ((5, 2), (5,), (5,), (5,))
    assert result.message == [Status(code).message for code in result.status]
    assert isinstance(result, scipy.optimize.OptimizeResult)
    assert isinstance(result.solution, Solution)


def test_bounds_hold_like_scipys() -> None:
    """The minimum lies outside the box: SciPy ends on the bound, the tanh just inside."""
    bounds = [(-0.5, 0.4), (-0.6, 0.5)]
    outside = np.array([[2.0, 0.1], [0.0, -3.0]])
    result = minimize(bowl, START[:2], args=(outside,), method="lbfgs", bounds=bounds)
    for x, start, target in zip(result.x, START[:2], outside, strict=True):
        loss = lambda p, target=target: np.sum((p - target) ** 2 * [1, 4])  # noqa: E731
        np.testing.assert_allclose(x, scipy.optimize.minimize(loss, start, bounds=bounds).x, atol=1e-4)
    low, high = np.transpose(bounds)
    assert ((result.x >= low) & (result.x <= high)).all()


ONE_SIDED = [(None, None), (0.2, None), (None, 0.3), (0.1, 0.9)]


@pytest.mark.parametrize(
    "bounds",
    [ONE_SIDED, scipy.optimize.Bounds([-np.inf, 0.2, -np.inf, 0.1], [np.inf, np.inf, 0.3, 0.9])],
    ids=["pairs", "Bounds"],
)
def test_bounds_of_every_kind_hold_like_scipys(bounds: object) -> None:
    start = np.tile([0.0, 0.5, 0.0, 0.5], (6, 1))
    targets = np.random.default_rng(1).uniform(-1, 1, (6, 4))
    weight = np.array([1.0, 4.0, 2.0, 3.0])
    result = minimize(
        lambda x, a, w: w * tf.reduce_sum(weight * (x - a) ** 2, axis=1),
        start,
        (targets, 2.5),
        "lockstep-lbfgs",
        bounds,
    )
    for x, loss, target in zip(result.x, result.fun, targets, strict=True):
        found = scipy.optimize.minimize(
            lambda p, target=target: 2.5 * np.sum(weight * (p - target) ** 2), start[0], bounds=bounds
        )
        np.testing.assert_allclose(x, found.x, atol=2e-4)
        assert loss == pytest.approx(found.fun, abs=1e-6)


def test_options_reach_the_method_and_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    few = minimize(bowl, START, TARGETS, "lockstep-lbfgs", options={"max_iterations": 1}, verbose=1)
    assert few.nit.tolist() == [1] * 5
    shown = capsys.readouterr()
    assert "lockstep-lbfgs" in shown.err
    assert not shown.out
    minimize(bowl, START, TARGETS, "lockstep-lbfgs", options={"max_iterations": 1})
    assert not capsys.readouterr().err


def test_without_arguments_and_with_a_single_one() -> None:
    single = minimize(bowl, START, args=TARGETS, method="lbfgs")
    np.testing.assert_allclose(single.x, TARGETS, atol=1e-7)
    alone = minimize(lambda x: tf.reduce_sum(x**4, axis=1), START, method=LBFGS(), scale=[1.0, 0.5])
    np.testing.assert_allclose(alone.x, 0, atol=1e-3)


def test_failure_is_told_per_instance() -> None:
    factor = np.array([1.0, -1.0, 1.0, 0.0, 2.0])
    result = minimize(lambda x, a: tf.sqrt(a) * tf.reduce_sum(x**2, axis=1), START, (factor,), "lockstep-lbfgs")
    assert result.success.tolist() == [True, False, True, True, True]
    assert "not finite at the start" in result.message[1]
    # Nothing to do is a success, as in SciPy.
    assert "no direction to go" in result.message[3]
    np.testing.assert_array_equal(result.x[[1, 3]], START[[1, 3]])
    assert minimize(lambda x: tf.reduce_sum(x**2, axis=1), START, method="cma-es").success.all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x0": START[0]}, r"x0: expected shape \(n, d\)"),
        ({"x0": np.zeros((0, 2))}, r"x0: expected shape"),
        ({"x0": np.full((5, 2), np.nan)}, "x0: expected finite numbers, got NaN or infinity in instances 0, 1"),
        ({"x0": [["a", "b"]]}, "x0: expected real numbers"),
        ({"x0": START + 9, "bounds": [(-1, 1)] * 2}, "x0: expected values strictly inside .* instances 0, 1"),
        ({"fun": "bowl"}, "fun: expected a function"),
        ({"fun": lambda x, a: tf.reduce_sum(x)}, "fun: expected one number per instance"),
        ({"fun": lambda x, a: x}, "fun: expected one number per instance"),
        ({"fun": lambda x, a: x[:, 0][:-1]}, "fun: expected one number per instance"),
        ({"fun": lambda x, a: x[:, 0] * np.cos(x[:, 1])}, "fun: expected TensorFlow operations"),
        ({"fun": lambda x, a: None}, "fun: .* got NoneType"),
        ({"fun": lambda x, a: tf.reduce_sum(a, axis=1)}, "fun: expected a result that depends on the unknowns"),
        ({"args": (TARGETS[:4],)}, r"args\[0\]: expected a number, or an array of 5 instances as in x0"),
        ({"args": (TARGETS, np.nan)}, r"args\[1\]: expected finite numbers"),
        ({"args": (TARGETS, "three")}, r"args\[1\]: expected real numbers"),
        ({"fun": lambda x, a: x["a"]}, r"^fun: .*Error.*test_minimize\.py, line \d+"),
        ({"args": (TARGETS * np.inf,)}, r"args\[0\]: expected finite numbers"),
        ({"method": "BFGS"}, "method: expected one of lbfgs"),
        ({"method": 3}, "method: expected a method"),
        ({"bounds": [(-1, 1)]}, r"bounds: expected 2 pairs .*shape \(1, 2\)"),
        ({"bounds": [(-1, 1), (2, 1)]}, "lower below upper"),
        ({"bounds": [(-1, 1), (np.nan, 1)]}, "bounds: expected numbers, None or infinities, got NaN"),
        ({"bounds": [(-1, 1), 3]}, r"bounds: expected 2 pairs \(lower, upper\)"),
        ({"bounds": scipy.optimize.Bounds([0, 0, 0], [1, 1, 1])}, "bounds: expected bounds of 2 variables"),
        ({"bounds": [(-1, 1)] * 2, "scale": 1.0}, "scale"),
        ({"options": {"maxiter": 3}}, "options: expected options of 'lbfgs': max_iterations, .* got 'maxiter'"),
        ({"method": LBFGS(), "options": {"tolerance": 1e-3}}, "options: expected none beside a method"),
        ({"scale": 0.0}, "scale: expected a positive"),
        ({"scale": [1.0, 2.0, 3.0]}, "scale: expected a number or an array"),
    ],
)
def test_bad_input_is_refused_by_name(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((ArgumentError, SimulatorError), match=message):
        minimize(**{"fun": bowl, "x0": START, "args": (TARGETS,), "method": "lbfgs"} | arguments)


TARGET = 1.0


def shifted(v):
    return v - TARGET


def to_the_target(v):
    return tf.reduce_sum(shifted(v) ** 2, axis=1)


def test_changed_constants_and_functions_of_a_module_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, where a cell is edited and run again."""
    start = np.zeros((2, 1))
    found = [minimize(to_the_target, start, method="lockstep-lbfgs").x]
    monkeypatch.setitem(globals(), "TARGET", 2.0)
    found.append(minimize(to_the_target, start, method="lockstep-lbfgs").x)
    monkeypatch.setitem(globals(), "shifted", lambda v: v - 5)
    found.append(minimize(to_the_target, start, method="lockstep-lbfgs").x)
    np.testing.assert_allclose(np.array(found)[:, :, 0], [[1, 1], [2, 2], [5, 5]], atol=1e-8)


@pytest.mark.parametrize("method", ["basin-hopping", "multi-level-single-linkage", "differential-evolution"])
def test_global_searches_look_around_the_start_of_each_instance(method: str) -> None:
    if method == "multi-level-single-linkage":
        pytest.importorskip("nlopt")
    centre = 100.0 * np.arange(3)[:, None] * np.ones((1, 2))
    options = {"evaluations": 200}
    found = minimize(lambda v, a: tf.reduce_sum((v - a) ** 2, axis=1), centre + 0.3, (centre,), method, options=options)
    np.testing.assert_allclose(found.fun, 0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e14])
def test_units_of_the_loss_do_not_matter(scale: float) -> None:
    """A power of two apart, the steps would be the same to the last bit."""
    factor = 2.0 ** np.round(np.log2(scale))

    def rosenbrock(v, size):
        return size * ((1 - v[:, 0]) ** 2 + 100 * (v[:, 1] - v[:, 0] ** 2) ** 2)

    start = np.array([[-1.2, 1.0], [0.0, 2.0]])
    plain, scaled = (minimize(rosenbrock, start, (np.full(2, size),), "lockstep-lbfgs") for size in (1.0, factor))
    np.testing.assert_array_equal(scaled.x, plain.x)
    np.testing.assert_array_equal(scaled.nfev, plain.nfev)
    np.testing.assert_allclose(plain.x, 1, atol=1e-6)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_what_falls_without_end_has_no_minimum() -> None:
    found = minimize(lambda x: -tf.reduce_sum(x**2, axis=1), np.ones((2, 2)), method="lockstep-lbfgs")
    assert not found.success.any()
