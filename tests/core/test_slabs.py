"""Sets that are larger than a slab, and stay on disk: solved, evaluated and trained on piece by piece."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers import Decay, assert_same_bits, decay_set

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint import slabs as slabs_module
from kerasjoint.methods import AmortizedMultiStart, LockstepLBFGS, LockstepLM, MultiStart, Reparameterized
from kerasjoint.models import ReparameterizedModel
from kerasjoint.models.streaming import mean_and_deviation

N = 22
SMALL = {"widths": (16,)}


@pytest.fixture(scope="module")
def whole() -> ProblemSet:
    return decay_set(Decay(), N)


@pytest.fixture
def small_slabs(monkeypatch) -> None:
    """Eight instances of 2 * 20 numbers a slab."""
    monkeypatch.setattr(slabs_module, "SLAB_BYTES", 8 * 320)
    monkeypatch.setattr(slabs_module, "SMALLEST_SLAB", 1)


@pytest.fixture
def on_disk(whole, tmp_path, small_slabs) -> ProblemSet:
    whole.save_folder(tmp_path / "set")
    return ProblemSet.open_folder(Decay(), tmp_path / "set")


def test_slabs_cover_all_and_are_about_equal(monkeypatch):
    monkeypatch.setattr(slabs_module, "SLAB_BYTES", 1000)
    monkeypatch.setattr(slabs_module, "SMALLEST_SLAB", 3)
    for n in range(1, 60):
        parts = slabs_module.slabs(n, 100)
        assert np.concatenate([np.arange(n)[part] for part in parts]).tolist() == list(range(n))
        sizes = [part.stop - part.start for part in parts]
        assert max(sizes) <= 10
        assert max(sizes) - min(sizes) <= 1
    assert len(slabs_module.slabs(9, 10**9)) == 3


def test_a_folder_stays_on_disk_and_is_the_same_set(whole, on_disk):
    assert isinstance(on_disk.y.base, np.memmap)
    assert isinstance(on_disk.x["time"].base, np.memmap)
    assert on_disk.fingerprint == whole.fingerprint
    assert len(on_disk.slabs()) == 3
    xi = np.linspace(0.5, 4, N)[:, None]
    np.testing.assert_allclose(on_disk.objective(xi), whole.objective(xi), rtol=1e-14)
    for got, expected in zip(on_disk.value_and_gradient(xi), whole.value_and_gradient(xi), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13)
    rows = np.array([20, 3, 3, 11])
    np.testing.assert_allclose(on_disk.objective(xi[rows], rows), whole.objective(xi)[rows], rtol=1e-14)
    assert "data" not in vars(on_disk)


@pytest.mark.parametrize("method", [LockstepLBFGS(), LockstepLM()], ids=lambda one: one.name)
def test_local_methods_go_through_the_slabs(whole, on_disk, method):
    streamed = method.solve(on_disk)
    parts = [method.solve(whole[slab]) for slab in on_disk.slabs()]
    np.testing.assert_array_equal(streamed.xi, np.concatenate([part.xi for part in parts]))
    np.testing.assert_array_equal(streamed.evaluations, np.concatenate([part.evaluations for part in parts]))
    assert streamed.solved.all()
    assert "data" not in vars(on_disk)
    history = streamed.history
    assert history["iteration"].is_monotonic_increasing
    np.testing.assert_allclose(history["mean"].iloc[0], whole.objective(whole.guess).mean())
    np.testing.assert_allclose(history["evaluations"].iloc[-1], streamed.evaluations.mean())
    assert history["solved"].iloc[-1] == 1


@pytest.mark.parametrize("method", [MultiStart(30), AmortizedMultiStart(30)], ids=lambda method: method.name)
def test_multi_start_goes_through_the_slabs(whole, on_disk, method):
    streamed = method.solve(on_disk, seed=1)
    assert streamed.solved.all()
    assert streamed.confirmed.all() or (streamed.cost() >= 30).all()
    assert streamed.minima["instance"].nunique() == N
    assert_same_bits(streamed, method.solve(on_disk, seed=1))
    assert "data" not in vars(on_disk)


def test_errors_of_the_unknowns_are_the_same_slab_by_slab(whole, on_disk):
    solution = LockstepLBFGS().solve(on_disk)
    found = solution.uncertainty()
    assert "data" not in vars(on_disk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slabs_module, "SLAB_BYTES", 2**26)
        expected = solution.uncertainty()
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-9)
    np.testing.assert_allclose(found.noise, expected.noise, rtol=1e-9)
    assert len(found.undetermined) == N


@pytest.mark.parametrize("settings", [{}, {"jit_compile": False}, {"run_eagerly": True}], ids=str)
def test_training_adds_up_the_gradients_of_the_slabs(whole, on_disk, settings):
    losses, xi = [], []
    for problem_set in (whole, on_disk):
        model = ReparameterizedModel.for_problem_set(problem_set, "dense", SMALL, seed=2)
        model.compile(keras.optimizers.SGD(1e-4), **settings)
        with pytest.MonkeyPatch.context() as patch:
            if problem_set is whole:
                patch.setattr(slabs_module, "SLAB_BYTES", 2**26)
            losses.append(model.fit(problem_set, epochs=5, verbose=0).history["loss"])
            solution = model.solution(problem_set)
            xi.append(solution.xi)
            np.testing.assert_allclose(model.evaluate(problem_set), solution.last.loss.sum(), rtol=1e-6)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    np.testing.assert_allclose(xi[1], xi[0], rtol=1e-4)
    assert losses[1][-1] < losses[1][0]
    assert "data" not in vars(on_disk)


def test_the_method_trains_on_slabs_and_a_network_that_couples_instances_on_all(on_disk):
    solution = Reparameterized(epochs=4, network="dense", network_options=SMALL).solve(on_disk)
    assert (solution.loss <= on_disk.objective(on_disk.guess)).all()
    model = ReparameterizedModel.for_problem_set(on_disk, "convolutional", {"widths": (4,), "hidden": 8})
    model.compile()
    assert np.isfinite(model.fit(on_disk, epochs=2, verbose=0).history["loss"]).all()


def test_mean_and_deviation_of_slabs_are_those_of_all():
    array = np.random.default_rng(0).normal(3, 2, (31, 7))
    parts = [slice(0, 10), slice(10, 20), slice(20, 31)]
    np.testing.assert_allclose(mean_and_deviation(array, parts), (array.mean(), array.std()), rtol=1e-12)


def test_other_numbers_on_disk_and_damaged_folders_are_refused(whole, tmp_path):
    path = tmp_path / "y.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, whole.y.shape)[:] = whole.y
    with pytest.raises(ArgumentError, match=r"y: expected float64 in a numpy\.memmap"):
        ProblemSet.open_folder(Decay(), tmp_path)
    path.write_bytes(b"no array")
    with pytest.raises(ArgumentError, match=r"y\.npy: expected an intact \.npy file"):
        ProblemSet.open_folder(Decay(), tmp_path)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ArgumentError, match=r"y\.npy: expected an intact \.npy file without pickled objects"):
        ProblemSet.open_folder(Decay(), tmp_path)
    with pytest.raises(ArgumentError, match=r"folder: expected an existing folder with \.npy files"):
        ProblemSet.open_folder(Decay(), tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="folder: expected a new folder"):
        whole.save_folder(tmp_path)
    bad = np.lib.format.open_memmap(tmp_path / "bad.npy", "w+", np.float64, whole.y.shape)
    bad[:] = whole.y
    bad[7, 3] = np.nan
    with pytest.raises(ArgumentError, match="y: expected finite numbers, got NaN or infinity in instances 7"):
        ProblemSet(Decay(), whole.x, bad)
