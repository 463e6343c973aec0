"""The lines of a user's notebook, as written in issue 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def test_the_notebook_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    # fmt: off
    import keras

    import kerasjoint
    from kerasjoint.models import ReparameterizedModel
    from kerasjoint.problems import Billiards

    problem_set = Billiards().sample(n=64, seed=0)
    model = ReparameterizedModel.for_problem_set(problem_set)  # picks a network of the zoo that fits x and y
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    history = model.fit(problem_set, epochs=1000)
    trained = model.solution(problem_set)                    # best point seen, per instance
    refined = kerasjoint.refine(problem_set, trained)
    baseline = kerasjoint.methods.LBFGS().solve(problem_set)
    table = kerasjoint.compare({"lbfgs": baseline, "reparameterized": refined}, reference="lbfgs")
    table.to_csv("comparison.csv")
    # fmt: on

    assert len(history.history["loss"]) == 1000
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert (refined.loss <= trained.loss).all()
    assert np.count_nonzero(refined.solved) > np.count_nonzero(baseline.solved) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.csv"]
    stored = pd.read_csv("comparison.csv", index_col=0)
    assert stored.columns.tolist() == [str(column) for column in table.columns]
    assert stored.index.tolist() == table.index.tolist()
    assert stored["solved"].tolist() == pytest.approx(table["solved"].tolist())
