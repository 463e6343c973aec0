"""The network for fields on a circle: what turns with the observation, and what does not."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Unknown
from kerasjoint.models import MixtureDensityModel
from kerasjoint.models.circular import circular_network

TIMES, POINTS, COMPONENTS = 3, 12, 4


class Ring(InverseProblem):
    """A field of 2 x 24 numbers and a constant, seen at twelve points of the circle, three times."""

    unknowns = (Unknown("level", scale=1.0), Unknown("field", shape=(2, 24), scale=1.0, periodic=(1,)))
    periodic = (1,)

    def forward(self, xi, x):
        field = xi["field"] + x["drift"][:, None, None]
        seen = field[:, 0, ::2] * field[:, 1, 1::2] + xi["level"][:, None]
        return tf.stack([seen, tf.roll(seen, 1, axis=1), tf.square(seen)], axis=1)


class Fixed(Ring):
    """The same without a word on symmetry."""

    unknowns = (Unknown("level", scale=1.0), Unknown("field", shape=(2, 24), scale=1.0))


def instances(problem: InverseProblem, n: int = 5) -> ProblemSet:
    generator = np.random.default_rng(0)
    xi, x = generator.standard_normal((n, 49)), {"drift": generator.standard_normal(n)}
    return ProblemSet(problem, x, problem.simulate(xi, x), truth=xi)


def mixture(model: MixtureDensityModel, problem_set: ProblemSet) -> list[np.ndarray]:
    return [part.numpy() for part in model.mixture(model._named_inputs(problem_set))[:3]]


def test_turning_the_observation_turns_the_proposals() -> None:
    problem_set = instances(Ring())
    model = MixtureDensityModel.for_problem_set(problem_set, components=COMPONENTS)
    assert model.network.name == "circular"
    # Each of the twelve arcs is an example.
    assert model.batch == MixtureDensityModel.batch_for(problem_set) == 32
    assert MixtureDensityModel.batch_for(problem_set, network_options={"arcs": 2}) == 64
    assert MixtureDensityModel.batch_for(problem_set, "residual") == 128
    assert MixtureDensityModel.for_problem_set(problem_set, batch=5).batch == 5
    turned = ProblemSet(problem_set.problem, problem_set.x, np.roll(problem_set.y, 3, axis=2))
    (weight, *before), (turned_weight, *after) = mixture(model, problem_set), mixture(model, turned)
    np.testing.assert_allclose(turned_weight, weight, atol=1e-5)
    for own, other in zip(before, after, strict=True):
        # The constant stays; the field turns by 3 of 12 points, 6 of 24.
        field = own[..., 1:].reshape(5, COMPONENTS, 2, 24)
        np.testing.assert_allclose(other[..., 0], own[..., 0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(other[..., 1:].reshape(field.shape), np.roll(field, 6, axis=3), rtol=1e-4, atol=1e-5)
        assert np.abs(field - np.roll(field, 6, axis=3)).max() > 1e-3


def test_it_learns_from_one_arc_what_it_knows_of_all() -> None:
    """What only ever happens at one place of the circle is known at the opposite one."""
    problem_set = instances(Ring(), n=64)
    model = MixtureDensityModel.for_problem_set(problem_set, components=1, network_options={"width": 16, "blocks": 2})
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    model.fit(problem_set, epochs=30, verbose=0)
    turned = ProblemSet(
        problem_set.problem,
        problem_set.x,
        np.roll(problem_set.y, 6, axis=2),
        truth=np.c_[
            problem_set.truth[:, :1], np.roll(problem_set.truth[:, 1:].reshape(-1, 2, 24), 12, 2).reshape(-1, 48)
        ],
    )
    assert model.evaluate(turned) == pytest.approx(model.evaluate(problem_set), rel=1e-4)


def test_a_model_on_a_circle_saves_and_loads(tmp_path: Path) -> None:
    problem_set = instances(Ring())
    model = MixtureDensityModel.for_problem_set(problem_set, components=COMPONENTS)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.propose(problem_set, 9, 0), model.propose(problem_set, 9, 0))


class Uneven(Ring):
    """A field of 18 points, seen at twelve: six arcs are whole in both."""

    unknowns = (Unknown("level", scale=1.0), Unknown("field", shape=(2, 18), scale=1.0, periodic=(1,)))

    def forward(self, xi, x):
        field = tf.reshape(xi["field"], (-1, 2, 6, 3))[..., :2]
        seen = tf.reshape(field[:, 0] * field[:, 1], (-1, 12)) + xi["level"][:, None] + x["drift"][:, None]
        return tf.stack([seen, seen, seen], axis=1)


def test_arcs_hold_whole_points_of_the_field() -> None:
    generator = np.random.default_rng(0)
    xi, x = generator.standard_normal((5, 37)), {"drift": generator.standard_normal(5)}
    problem_set = ProblemSet(Uneven(), x, Uneven().simulate(xi, x), truth=xi)
    model = MixtureDensityModel.for_problem_set(problem_set, components=COMPONENTS)
    assert model.network_options["arcs"] == 6
    turned = ProblemSet(problem_set.problem, x, np.roll(problem_set.y, 2, axis=2))
    for own, other in zip(mixture(model, problem_set)[1:], mixture(model, turned)[1:], strict=True):
        field = own[..., 1:].reshape(5, COMPONENTS, 2, 18)
        np.testing.assert_allclose(other[..., 1:].reshape(field.shape), np.roll(field, 3, axis=3), rtol=1e-4, atol=1e-5)


def test_a_full_covariance_fits_a_circle() -> None:
    """What is pooled follows from the components, of which there are fewer."""
    problem_set = instances(Ring())
    model = MixtureDensityModel.for_problem_set(problem_set, covariance="full")
    assert (model.components, model.unknowns) == (4, problem_set.space.size)
    assert model.propose(problem_set, 5, 0).shape == (5, 5, problem_set.space.size)


def test_without_the_symmetry_the_network_is_residual() -> None:
    model = MixtureDensityModel.for_problem_set(instances(Fixed()), components=COMPONENTS)
    assert model.network.name == "residual"
    assert model.order is None


def test_every_input_reaches_the_output() -> None:
    shapes = {"y": (TIMES, POINTS), "x_wind": (TIMES, POINTS), "x_mass": (), "x_cue": (2,)}
    network = circular_network(shapes, 5 + 24, axis=1, pooled=5)
    generator = np.random.default_rng(1)
    inputs = {name: generator.standard_normal((3, *shape)).astype(np.float32) for name, shape in shapes.items()}
    output = np.array(network(inputs))
    assert output.shape == (3, 29)
    for name in shapes:
        assert np.abs(np.array(network(inputs | {name: inputs[name] * 2 + 1})) - output).max() > 1e-4, name


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="axis: expected an axis of y"):
        circular_network({"y": (TIMES, POINTS)}, 24, axis=2)
    with pytest.raises(ArgumentError, match="output_size: expected 1 and outputs that divide evenly"):
        circular_network({"y": (TIMES, POINTS)}, 8, axis=1, pooled=1)
    with pytest.raises(ArgumentError, match="order: expected each number from 0 to 48 once"):
        MixtureDensityModel.for_problem_set(instances(Fixed()), order=[0, 0])
    for periodic in ((2,), (0, 1), 1, (-1,)):
        with pytest.raises(ArgumentError, match=r"Unknown\('field'\) periodic: expected \(\) or a tuple of one axis"):
            Unknown("field", shape=(2, 24), scale=1.0, periodic=periodic)
