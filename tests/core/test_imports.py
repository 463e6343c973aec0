from __future__ import annotations

import os
import pickle
import subprocess
import sys

import keras
import pytest

import kerasjoint
from kerasjoint import ArgumentError, BackendError, keras_backend
from kerasjoint.methods import METHODS
from kerasjoint.methods.base import Method
from kerasjoint.models import NETWORKS
from kerasjoint.problems import PROBLEMS


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_tensorflow_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, kerasjoint, kerasjoint.methods, kerasjoint.problems\n"
        "kerasjoint.Unknown, kerasjoint.ArgumentError, dir(kerasjoint)\n"
        "sys.exit(str({'tensorflow', 'keras', 'tensorflow_probability'} & set(sys.modules)))"
    )
    assert run(code).stderr.strip() == "set()"


def test_a_solve_imports_nothing_slow_beside_tensorflow_and_another_backend_is_named() -> None:
    """One process for both, since the import of TensorFlow takes most of it."""
    code = (
        "import sys, kerasjoint.methods, kerasjoint.problems\n"
        "kerasjoint.methods.LockstepLBFGS, kerasjoint.problems.KuramotoSivashinsky\n"
        "print({'scipy.stats', 'scipy.optimize', 'tensorflow_probability'} & set(sys.modules))\n"
        "for name in 'models', 'methods.Reparameterized':\n"
        "    try:\n"
        "        exec(f'import kerasjoint.{name.partition(\".\")[0]}; kerasjoint.{name}')\n"
        "    except kerasjoint.BackendError as error:\n"
        "        print(error)\n"
    )
    result = run(code, KERAS_BACKEND="jax")
    assert result.returncode == 0, result.stderr
    slow, *messages = result.stdout.splitlines()
    assert slow == "set()"
    assert len(messages) == 2
    for message in messages:
        assert message.startswith("Keras backend: expected 'tensorflow'")
        assert "got 'jax'" in message


def test_the_backend_in_the_configuration_file_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    keras_backend.require_tensorflow()
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    keras_backend.require_tensorflow()
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    with pytest.raises(BackendError, match="got 'torch'"):
        keras_backend.require_tensorflow()
    (tmp_path / "keras.json").write_text("no JSON")
    keras_backend.require_tensorflow()


def test_public_names_resolve_and_others_do_not() -> None:
    for name in kerasjoint.__all__:
        assert getattr(kerasjoint, name) is not None
    assert set(kerasjoint.__all__) <= set(dir(kerasjoint))
    for module in (kerasjoint, kerasjoint.methods, kerasjoint.models, kerasjoint.problems):
        with pytest.raises(AttributeError, match="nothing"):
            module.nothing  # noqa: B018


@pytest.mark.parametrize("registry", [METHODS, PROBLEMS, NETWORKS], ids=lambda registry: registry.kind)
def test_registries(registry: object) -> None:
    for name in registry:
        assert name in registry
        assert registry.summary(name)
        assert registry.load(name).__qualname__ == registry.class_name(name)
    first = next(iter(registry))
    for ask in (registry.load, registry.check, registry.summary):
        with pytest.raises(ArgumentError, match=rf"{registry.kind}: expected one of .*did you mean '{first}'\?"):
            ask(first + "s")
    with pytest.raises(ArgumentError, match="got 3"):
        registry.check(3)


def test_methods_carry_their_registered_name() -> None:
    for name in METHODS:
        assert issubclass(METHODS.load(name), Method)
        assert METHODS.load(name).name == name


def test_an_argument_error_is_a_value_error_that_knows_its_argument() -> None:
    error = ArgumentError("n", "a positive integer", 0)
    assert isinstance(error, ValueError)
    assert (str(error), error.argument) == ("n: expected a positive integer, got 0", "n")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # as it passes between processes


def test_classes_are_registered_with_keras_under_the_package() -> None:
    from kerasjoint.models import ReparameterizedModel, SupervisedModel, SurrogateModel
    from kerasjoint.models.layers import BatchStatistics, Convolution, MaxPooling, PositionalEncoding

    models = ReparameterizedModel, SupervisedModel, SurrogateModel
    for registered in (*models, BatchStatistics, Convolution, MaxPooling, PositionalEncoding):
        assert keras.saving.get_registered_name(registered) == f"kerasjoint>{registered.__name__}"
