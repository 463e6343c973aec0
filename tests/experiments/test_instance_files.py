"""Files of observations for a problem that cannot draw instances, so that their columns tell the shapes."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from helpers import Decay, decay_set

from kerasjoint import ArgumentError, InverseProblem, Unknown
from kerasjoint.experiments.instance_files import read_instances


class Offset(InverseProblem):
    """Add an unknown to a field (2, 3), and scale it."""

    unknowns = (Unknown("offset", scale=1.0),)

    def forward(self, xi, x):
        return (x["gain"] * xi["offset"])[:, None, None] + x["field"]


def written(path, names, rows):
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    return path


def test_shapes_come_from_the_names(tmp_path):
    field = np.arange(12.0).reshape(2, 2, 3)
    names = [f"field[{i},{j}]" for i in range(2) for j in range(3)]
    columns = {name: field.reshape(2, 6)[:, k] for k, name in enumerate(names)}
    columns |= {"gain": [2.0, 3.0]} | {f"y[{i},{j}]": [1.0 + i + j] * 2 for i in range(2) for j in range(3)}
    frame = pd.DataFrame(columns)
    frame[list(frame)[::-1]].to_csv(tmp_path / "mine.csv", index=False)
    problem_set = read_instances(Offset(), tmp_path / "mine.csv")
    np.testing.assert_array_equal(problem_set.x["field"], field)
    np.testing.assert_array_equal(problem_set.x["gain"], [2.0, 3.0])
    assert problem_set.y.shape == (2, 2, 3)
    assert problem_set.y[0, 1, 2] == 4.0


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["0", "1", "2"], r"a header such as .* --no-header, all columns are y, got 0, 1, 2"),
        (["0.5", "1.5", "2.5"], "a header such as"),
        (["time[0]", "y[0]", "y[2]"], r"missing y\[1\]"),
        (["time[0]", "y[0]", "y[0]"], "each column once"),
        (["time[0]", "y[0]", "y[0,1]"], "same number of indices for all columns of y"),
        (["time[0]", "y[0]", "y[999999]"], "a column for each index of y"),
        (["time[", "y[0]", "y[1]"], r"names such as y, y\[3\] or field\[0,1\], got 'time\['"),
        (["time[-1]", "y[0]", "y[1]"], "names such as y"),
        (["", "y[0]", "y[1]"], "a name for each column, got column 1 without a name"),
    ],
)
def test_names_that_tell_no_shape_are_refused(tmp_path, names, says):
    path = written(tmp_path / "mine.csv", names, [[1, 2, 3]])
    with pytest.raises(ArgumentError, match=says):
        read_instances(Decay(), path)


def test_without_header_all_columns_are_the_observation(tmp_path):
    class Level(InverseProblem):
        unknowns = (Unknown("level", scale=1.0),)

        def forward(self, xi, x):
            return xi["level"][:, None] * np.ones(3)

    path = written(tmp_path / "mine.csv", [1, 2, 3], [[4, 5, 6]])
    np.testing.assert_array_equal(read_instances(Level(), path, header=False).y, [[1, 2, 3], [4, 5, 6]])
    named = written(tmp_path / "named.csv", ["y[0]", "y[1]", "y[2]"], [[4, 5, 6]])
    np.testing.assert_array_equal(read_instances(Level(), named).y, [[4, 5, 6]])
    with pytest.raises(ArgumentError, match=re.escape("numbers, got 'y[0]' in row 0")):
        read_instances(Level(), named, header=False)


def test_an_npz_file_of_such_a_problem_is_taken_as_it_is(tmp_path):
    problem = Decay()
    path = decay_set(problem, 2).save(tmp_path / "mine.npz")
    assert read_instances(problem, path).y.shape == (2, 20)
    with pytest.raises(ArgumentError, match=r"--no-header: expected a \.csv file"):
        read_instances(problem, path, header=False)


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabulators")])
def test_other_separators_than_commas_are_named(tmp_path, mark: str, name: str) -> None:
    path = tmp_path / "theirs.csv"
    pd.DataFrame([[1, 2, 3]], columns=["y[0]", "y[1]", "y[2]"]).to_csv(path, index=False, sep=mark)
    with pytest.raises(ArgumentError, match=f"expected numbers separated by commas, got a line separated by {name}"):
        read_instances(Offset(), path)
