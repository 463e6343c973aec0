"""The examples in the docstrings of all public names run, and print what they say they print.

They use names that a reader understands, such as ``problem_set``, ``baseline`` and ``refined``: here these are decays
with a rate each. What an example prints is compared where the docstring shows it.
"""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
from collections.abc import Iterator

import matplotlib

matplotlib.use("Agg")

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay

import kerasjoint
from kerasjoint import compile_cache, methods, models, plot, problems

MODULES = (kerasjoint, methods, models, problems, plot)
# Errors, statuses and registries explain themselves; these need what is tested elsewhere.
WITHOUT = {
    *("BackendError", "ClusterError", "KerasjointError", "NoGradientError", "SimulatorError", "WriteError"),
    *("RouteWarning", "ScaleWarning", "SimulatorWarning", "Status"),
}
# Networks are trained, or simulations are expensive: minutes of compilation.
LONG = {
    *("AmortizedMultiStart", "NeuralAdjoint", "Reparameterized", "Supervised", "solve", "minimize"),
    *("MixtureDensityModel", "ReparameterizedModel", "SupervisedModel", "SurrogateModel"),
    *("KuramotoSivashinsky", "KuramotoSivashinskyState", "LayeredGround", "Lorenz96", "NavierStokes"),
    *("AcousticWaveform", "CMAES", "DifferentialEvolution", "BasinHopping", "MultiLevelSingleLinkage"),
}
TORCH = {"wrap_torch"}


class SampledDecay(Decay):
    """A decay that can draw examples."""

    def sample(self, n, seed):
        rate = np.random.default_rng(seed).uniform(0.5, 4.0, n)
        time = np.tile(np.linspace(0.0, 2.0, 50), (n, 1))
        return kerasjoint.ProblemSet(self, {"time": time}, np.exp(-rate[:, None] * time), {"rate": rate})


def public() -> Iterator[tuple[str, object]]:
    """Every public class and function, by name."""
    for module in MODULES:
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"{module.__name__}.{name}", thing


def documented() -> Iterator[pytest.param]:
    """Every public class and function, and the methods of the classes, that have an example."""
    for name, thing in public():
        short = name.rpartition(".")[2]
        marks = [pytest.mark.long] if short in LONG else [pytest.mark.torch] if short in TORCH else []
        docs = {name: inspect.getdoc(thing) or ""}
        if inspect.isclass(thing):
            for attribute, member in vars(thing).items():
                member = getattr(member, "__func__", member)
                if not attribute.startswith("_") and inspect.isfunction(member):
                    docs[f"{name}.{attribute}"] = inspect.getdoc(member) or ""
        for where, text in docs.items():
            examples = doctest.DocTestParser().get_examples(text)
            if examples:
                yield pytest.param(examples, id=where.removeprefix("kerasjoint."), marks=marks)


@pytest.fixture(scope="module")
def words() -> dict[str, object]:
    problem_set = SampledDecay().sample(8, seed=0)
    baseline = methods.LockstepLBFGS().solve(problem_set)
    many = methods.MultiStart(60).solve(problem_set)
    names = {name.rpartition(".")[2]: thing for name, thing in public()}
    return names | {
        "keras": keras,
        "np": np,
        "tf": tf,
        "kerasjoint": kerasjoint,
        "self": problem_set.problem,
        "problem_set": problem_set,
        "time": problem_set.x["time"],
        "counts": problem_set.y,
        "Decay": SampledDecay,
        "baseline": baseline,
        "solution": many,
        "many": many,
        "refined": many,
        "targets": np.ones((32, 2)),
        "solutions": {"lbfgs": baseline, "multi-start": many},
        "table": kerasjoint.compare({"a": many}, "a"),
        "u0": tf.ones(3),
        "rate": tf.ones(3),
        "model": _Trained(problem_set, many),
    }


class _Trained:
    """Stands for a model of ``problem_set`` where an example begins with one that is trained."""

    def __init__(self, problem_set, solution):
        self.solution = lambda problem_set: solution


@pytest.mark.parametrize("examples", list(documented()))
def test_example(examples, words, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    # As in a process that has not compiled anything yet, and forgotten again.
    monkeypatch.setattr(compile_cache, "_began", False)
    for name in ("_chosen", "_was_set"):
        monkeypatch.setattr(compile_cache, name, getattr(compile_cache, name))
    namespace = dict(words)
    checker = doctest.OutputChecker()
    for example in examples:
        printed = io.StringIO()
        # As at the prompt: an expression shows its value.
        with contextlib.redirect_stdout(printed):
            code = compile(example.source, "<example>", "single", dont_inherit=True)
            if example.want.startswith("Traceback"):
                with pytest.raises(kerasjoint.KerasjointError) as raised:
                    exec(code, namespace)
                assert str(raised.value) in example.want
                continue
            exec(code, namespace)
        if example.want:
            options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            assert checker.check_output(example.want, printed.getvalue(), options), printed.getvalue()
    plt.close("all")
    kerasjoint.set_cores(None)


def test_every_public_name_has_an_example() -> None:
    without = {
        name.rpartition(".")[2]
        for name, thing in public()
        if not doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
    }
    assert without <= WITHOUT
