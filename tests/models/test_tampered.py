"""Saved models that someone has changed: what is no layer, optimizer or best point of ours is refused, nothing runs."""

from __future__ import annotations

import base64
import io
import json
import marshal
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from kerasjoint import ProblemSet, Status
from kerasjoint.models import ReparameterizedModel

COMMAND = "touch {marker}"


@pytest.fixture(scope="module")
def untouched(billiards: ProblemSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("untouched") / "model.keras"
    model = ReparameterizedModel.for_problem_set(billiards, "dense", {"widths": [8]}, seed=2)
    model.compile(optimizer="adam")
    model.fit(billiards, epochs=2, verbose=0)
    model.save(path)
    return path


@pytest.fixture
def saved(untouched: Path, tmp_path: Path) -> Path:
    return shutil.copy(untouched, tmp_path / "model.keras")


def change(path: Path, member: str, edit: Callable[[bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = edit(members[member])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def change_config(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    def apply(content: bytes) -> bytes:
        config = json.loads(content)
        edit(config)
        return json.dumps(config).encode()

    change(path, "config.json", apply)


def malicious_function(marker: Path) -> dict[str, Any]:
    """Return a function as Keras stores a lambda: its code, marshalled."""
    code = compile(f"__import__('pathlib').Path({str(marker)!r}).touch()", "<lambda>", "eval")
    inner = {"code": base64.b64encode(marshal.dumps(code)).decode(), "defaults": None, "closure": None}
    return {"class_name": "__lambda__", "config": {"value": inner["code"], **inner}}


def foreign(module: str, name: str, marker: Path) -> dict[str, Any]:
    command = COMMAND.format(marker=marker)
    config = {"args": command, "shell": True, "command": command, "cmd": command}
    return {"module": module, "class_name": name, "config": config, "registered_name": name}


def foreign_function(module: str, name: str, marker: Path) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def lambda_layer(marker: Path) -> dict[str, Any]:
    config = {"name": "l", "function": malicious_function(marker)}
    return {"module": "keras.layers", "class_name": "Lambda", "config": config, "registered_name": None}


ATTACKS: dict[str, Callable[[Path], Any]] = {
    "a lambda": malicious_function,
    "a layer with a lambda": lambda_layer,
    "a foreign class": lambda marker: foreign("subprocess", "Popen", marker),
    "a foreign class that poses as ours": lambda marker: foreign("kerasjoint.subprocess", "Popen", marker),
    "a foreign function": lambda marker: foreign_function("os", "system", marker),
    "a function of Keras that writes": lambda marker: foreign_function("keras.utils", "get_file", marker),
    "a layer": lambda _: keras.saving.serialize_keras_object(keras.layers.Dense(1)),
    "a number": lambda _: 3,
    "nothing": lambda _: None,
}

PLACES: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "optimizer": lambda config, thing: config["compile_config"].update(optimizer=thing),
    "learning rate": lambda config, thing: config["compile_config"]["optimizer"]["config"].update(learning_rate=thing),
    "loss": lambda config, thing: config["compile_config"].update(loss=thing),
    "metrics": lambda config, thing: config["compile_config"].update(metrics=[thing]),
    "activation": lambda config, thing: config["config"]["network_options"].update(activation=thing),
    "network": lambda config, thing: config["config"].update(network=thing),
}


# What Keras can use as an activation, and runs no code of the file.
HARMLESS = {("a layer", "activation"), ("nothing", "activation")}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_foreign_is_refused(untouched: Path, tmp_path: Path, attack: str) -> None:
    marker = tmp_path / "marker"
    for place, put in PLACES.items():
        path = shutil.copy(untouched, tmp_path / f"{place}.keras")
        change_config(path, partial(put, thing=ATTACKS[attack](marker)))
        if (attack, place) in HARMLESS:
            keras.saving.load_model(path)
        else:
            # ArgumentError is a ValueError; both are what Keras raises.
            with pytest.raises((ValueError, TypeError)):
                keras.saving.load_model(path)
        assert not marker.exists()


def test_the_lambda_would_run(tmp_path: Path) -> None:
    """Otherwise the tests above could not fail."""
    layer = keras.saving.deserialize_keras_object(lambda_layer(tmp_path / "marker"), safe_mode=False)
    layer.function()
    assert (tmp_path / "marker").exists()


def shorten(name: str) -> Callable[[h5py.Group], None]:
    def apply(group: h5py.Group) -> None:
        replace(group, name, np.asarray(group[name])[:-1])

    return apply


def replace(group: h5py.Group, name: str, array: np.ndarray) -> None:
    del group[name]
    group[name] = array


BEST_POINTS: dict[str, Callable[[h5py.Group], None]] = {
    "losses cut": shorten("training_best_loss"),
    "points cut": shorten("training_best_z"),
    "counts cut": shorten("training_non_finite"),
    "numbers cut": shorten("training_numbers"),
    "points of another size": lambda group: replace(group, "training_best_z", np.zeros((2, 7), np.float32)),
    "points that are text": lambda group: replace(group, "training_best_z", np.array([b"a", b"b"])),
    "points that are missing": lambda group: group.__delitem__("training_best_z"),
    "seconds that are infinite": lambda group: replace(group, "training_numbers", np.array([1.0, np.inf, 0])),
    "epochs below nothing": lambda group: replace(group, "training_numbers", np.array([-1.0, 1, 0])),
}


def change_weights(path: Path, edit: Callable[[h5py.Group], None]) -> None:
    def apply(content: bytes) -> bytes:
        stream = io.BytesIO(content)
        with h5py.File(stream, "r+") as file:
            edit(file["vars"])
        return stream.getvalue()

    change(path, "model.weights.h5", apply)


@pytest.mark.parametrize("damage", BEST_POINTS)
def test_damaged_best_points_are_refused(saved: Path, damage: str) -> None:
    """Keras wraps our error into its own."""
    change_weights(saved, BEST_POINTS[damage])
    with pytest.raises(ValueError, match="saved model: expected"):
        keras.saving.load_model(saved)


def test_best_points_of_too_few_instances_are_nobodys(saved: Path, billiards: ProblemSet) -> None:
    """All of one length, but not that of the problem set that they claim to belong to."""

    def shorten_all(group: h5py.Group) -> None:
        for name in ("training_best_loss", "training_best_z", "training_non_finite"):
            shorten(name)(group)

    change_weights(saved, shorten_all)
    solution = keras.saving.load_model(saved).solution(billiards)
    assert set(solution.status) == {Status.ESTIMATED}


def test_a_lower_loss_in_the_file_is_not_believed(saved: Path, billiards: ProblemSet) -> None:
    def boast(group: h5py.Group) -> None:
        group["training_best_loss"][...] = 0.0
        group["training_best_z"][...] = 1e6

    change_weights(saved, boast)
    solution = keras.saving.load_model(saved).solution(billiards)
    np.testing.assert_array_equal(solution.loss, billiards.objective(solution.xi))
    assert (solution.loss > 0).all()


@pytest.mark.parametrize("name", ["0", "training_best_z"])
def test_a_link_to_another_file_is_not_followed(saved: Path, tmp_path: Path, name: str) -> None:
    def link(group: h5py.Group) -> None:
        shape = group[name].shape
        with h5py.File(tmp_path / "secret.h5", "w") as secret:
            secret["array"] = np.full(shape, 7.0, np.float32)
        del group[name]
        group[name] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "array")

    change_weights(saved, link)
    with pytest.raises(ValueError, match="ink"):
        keras.saving.load_model(saved)
