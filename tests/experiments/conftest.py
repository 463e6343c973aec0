"""One tiny finished run that the tests of the runner look at."""

from __future__ import annotations

import json
import shutil

import pytest

from kerasjoint.experiments.engine import Engine
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.preset import Preset, parse_preset
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.task_files import ROWS, TRACE, to_json, write_folder
from kerasjoint.experiments.task_folders import ONE


@pytest.fixture(scope="session")
def preset() -> Preset:
    learned = {"epochs": 20, "network_options": {"widths": [16]}}
    content = {
        "name": "tiny",
        "seeds": 2,
        "problems": {"billiards": {"n": [2, 4]}},
        "methods": {"lbfgs": {}, "scipy-lbfgs": {}, "reparameterized": learned, "supervised": learned},
    }
    return parse_preset(content, "test")


@pytest.fixture(scope="session")
def store(preset, tmp_path_factory) -> Store:
    store = Store(tmp_path_factory.mktemp("run") / "tiny")
    outcome = Engine(store).run(plan(preset))
    assert not outcome.failed
    return store


@pytest.fixture(scope="session")
def paper_store(store, tmp_path_factory) -> Store:
    """The same rows, as a run of the preset of the paper."""
    folder = tmp_path_factory.mktemp("paper") / "run"
    shutil.copytree(store.folder, folder)
    for task in folder.glob("tasks/*"):
        files = {name: (task / name).read_bytes() for name in (ROWS, TRACE, ONE)}
        shutil.rmtree(task)
        write_folder(task, files | {ONE: to_json(json.loads(files[ONE]) | {"preset": "paper"})})
    return Store(folder)
