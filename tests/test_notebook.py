"""The notebook of the README, as written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest


def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    import keras

    import kerasjoint
    from kerasjoint.models import ReparameterizedModel
    from kerasjoint.problems import Billiards

    problem_set = Billiards().sample(n=64, seed=0)
    model = ReparameterizedModel.for_problem_set(problem_set)  # picks a network of the zoo that fits x and y
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    history = model.fit(problem_set, epochs=1000)
    trained = model.solution(problem_set)  # best point seen, per instance
    refined = kerasjoint.refine(problem_set, trained)
    baseline = kerasjoint.methods.LBFGS().solve(problem_set)
    table = kerasjoint.compare({"lbfgs": baseline, "reparameterized": refined}, reference="lbfgs")
    table.to_csv("comparison.csv")

    assert len(history.history["loss"]) == 1000
    assert (refined.loss <= trained.loss).all()
    stored = pd.read_csv(tmp_path / "comparison.csv").set_index("method")
    assert stored.loc["lbfgs", "equal"] == 1
    joint = stored.loc["reparameterized"]
    assert joint["better"] + joint["equal"] + joint["worse"] == pytest.approx(1)
    assert joint["solved"] > stored.loc["lbfgs", "solved"]
    assert joint["evaluations"] > 1000
