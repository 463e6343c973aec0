from __future__ import annotations

import numpy as np
import pytest

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.problems import ThinFilm
from kerasjoint.problems.thin_film import GLASS, indices


@pytest.fixture(scope="module")
def problem_set() -> ProblemSet:
    return ThinFilm().sample(8, seed=0)


def reflected(thickness: np.ndarray, wavelength: float) -> tuple[float, float]:
    """Reflectance and transmittance of one stack at one wavelength, by Fresnel's amplitudes and Airy's sum."""
    titania, silica = (complex(index[0]) for index in indices(np.array([wavelength])))
    media = [1.0 + 0j, *([silica, titania] * (len(thickness) // 2)), GLASS + 0j]
    below, through = 0j, 1.0 + 0j
    for k in range(len(media) - 2, -1, -1):
        upper, lower = media[k], media[k + 1]
        r, t = (upper - lower) / (upper + lower), 2 * upper / (upper + lower)
        # What comes back from below the interface has passed the layer under it twice.
        path = 1.0 if k == len(thickness) else np.exp(-2j * np.pi * lower * thickness[k] / wavelength)
        rattle = 1 + r * below * path**2
        below, through = (r + below * path**2) / rattle, through * t * path / rattle
    return abs(below) ** 2, GLASS * abs(through) ** 2


def test_the_spectrum_against_airys_recursion(problem_set: ProblemSet) -> None:
    problem = problem_set.problem
    got = problem.simulate(problem_set.truth[:2])
    expected = [[reflected(one, w)[0] for w in problem.wavelengths] for one in problem_set.truth[:2]]
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_energy_is_reflected_transmitted_or_absorbed(problem_set: ProblemSet) -> None:
    """The sign of the extinction is that of absorption: what is lost is above 0, and small in red."""
    lost = {w: 1 - sum(reflected(problem_set.truth[0], w)) for w in (400.0, 450.0, 1000.0)}
    assert lost[400.0] > lost[450.0] > lost[1000.0] > 0
    assert lost[400.0] < 0.1
    assert lost[1000.0] < 1e-4


def test_no_thickness_is_bare_glass_and_a_quarter_wave_is_known() -> None:
    """Two layers, of which one vanishes: the reflectance of a single film, by hand."""
    problem = ThinFilm(layers=2)
    w = problem.wavelengths
    silica = indices(w)[1]
    bare = problem.simulate(np.zeros((1, 2)))[0]
    np.testing.assert_allclose(bare, ((1 - GLASS) / (1 + GLASS)) ** 2, atol=1e-14)
    middle = 60
    quarter = w[middle] / (4 * silica.real[middle])
    film = problem.simulate([[quarter, 0.0]])[0, middle]
    square = silica.real[middle] ** 2
    assert film == pytest.approx(((GLASS - square) / (GLASS + square)) ** 2, abs=1e-12)
    half = problem.simulate([[2 * quarter, 0.0]])[0, middle]
    assert half == pytest.approx(bare[middle], abs=1e-12)


def test_a_mirror_of_quarter_waves_by_its_formula() -> None:
    """R = ((1 - q) / (1 + q))^2 with q = n_glass (n_low / n_high)^(2 pairs), but for what titania absorbs."""
    problem, middle = ThinFilm(), 40
    w = problem.wavelengths[middle]
    titania, silica = (index.real[middle] for index in indices(problem.wavelengths))
    mirror = np.tile([w / (4 * silica), w / (4 * titania)], 10)
    q = GLASS * (silica / titania) ** 20
    assert problem.simulate(mirror[None])[0, middle] == pytest.approx(((1 - q) / (1 + q)) ** 2, abs=1e-4)


def test_the_loss_of_the_truth_is_the_noises_energy() -> None:
    problem_set = ThinFilm().sample(32, seed=3)
    noise = problem_set.y - problem_set.problem.simulate(problem_set.truth)
    assert noise.std() == pytest.approx(0.003, rel=0.04)
    np.testing.assert_allclose(problem_set.truth_loss, np.sum(noise**2, axis=1), rtol=1e-9)


def test_descents_from_near_the_truth_succeed_where_those_from_the_guess_fail(problem_set: ProblemSet) -> None:
    problem_set = problem_set[:4]
    truth = problem_set.space.to_z(problem_set.truth, problem_set.guess)
    start = truth + 0.02 * np.random.default_rng(1).standard_normal(truth.shape)
    near, far = LockstepLBFGS(60).solve(problem_set, start=start), LockstepLBFGS(60).solve(problem_set)
    assert near.solved.all()
    assert far.solved.mean() <= 0.5


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"layers": 3}, "layers"),
        ({"layers": 0}, "layers"),
        ({"layers": 2.0}, "layers"),
        ({"wavelengths": 0}, "wavelengths"),
        ({"noise": -0.1}, "noise"),
        ({"spread": 90.0}, "spread"),
        ({"spread": 0.0}, "spread"),
        ({"noise": np.nan}, "noise"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, object], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ThinFilm(**arguments)
    assert caught.value.argument == name
