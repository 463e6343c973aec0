"""A problem that a user wrote, from the command line to the tables."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kerasjoint.errors import KerasjointError
from kerasjoint.experiments.cli import app
from kerasjoint.experiments.labels import Label
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.preset import load_preset
from kerasjoint.experiments.references import construct, source_digest
from kerasjoint.experiments.store import Store
from kerasjoint.methods import METHODS
from kerasjoint.problems import PROBLEMS

FILE = """
import numpy as np
import tensorflow as tf

from kerasjoint import InverseProblem, ProblemSet, Unknown
from kerasjoint.methods import ScipyLBFGS


class Decay(InverseProblem):
    unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0), Unknown("height", scale=1.0, guess=1.0))
    shown_unknown = "height"

    def forward(self, xi, x):
        return xi["height"][:, None] * tf.exp(-xi["rate"][:, None] * x["time"])


class Damped(Decay):
    def __init__(self, noise=0.0):
        self.noise = noise

    def sample(self, n, seed):
        generator = np.random.default_rng(seed)
        rate, time = generator.uniform(0.5, 4.0, n), np.tile(np.linspace(0.1, 2.0, 20), (n, 1))
        y = np.exp(-rate[:, None] * time) + self.noise * generator.normal(size=time.shape)
        return ProblemSet(self, {"time": time}, y, None if self.noise else {"rate": rate, "height": np.ones(n)})


class Newton(ScipyLBFGS):
    name = "newton"


class Fragile(Damped):
    def __init__(self, path=None):
        open(path or "nowhere/data.csv")


class Plain:
    pass


def factory():
    return Damped()


def not_a_factory():
    return 3


instance = Damped()
number = 3
"""

PRESET = """
name: mine
problems:
  {file}:Damped: {{n: [3]}}
  {module}:Damped@noisy: {{n: [3], options: {{noise: 0.1}}}}
methods:
  {module}:Newton: {{}}
  reparameterized: {{epochs: 5}}
"""

runner = CliRunner()


def call(*arguments: object):
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def message(*arguments: object) -> str:
    error = call(*arguments).exception
    assert isinstance(error, KerasjointError), repr(error)
    return str(error)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a user's file, which is the current one, and a module name that no other test imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "damped.py").write_text(FILE)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of a preset with an own problem and method; by a file, and by a module with a variant."""
    place = tmp_path_factory.mktemp("own")
    (place / "simulators").mkdir()
    for path in (place / "simulators" / "damped.py", place / "damped_module.py"):
        path.write_text(FILE)
    (place / "mine.yaml").write_text(PRESET.format(file="simulators/damped.py", module="damped_module"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "path", list(sys.path))
        # The second problem without any training, which takes long to compile.
        for chosen in (("--method", "damped_module:Newton"), ("simulators/damped.py:Damped",)):
            result = call("run", *chosen, "--preset", "mine.yaml")
            assert result.exit_code == 0, result.output
        yield place, result.output


def test_its_rows_are_those_of_its_own_code(finished):
    place, _ = finished
    rows = Store(place / "results" / "mine").rows()
    assert set(rows["problem"]) == {"simulators/damped.py:Damped", "damped_module:Damped@noisy"}
    assert set(rows["method"]) == {"damped_module:Newton", "reparameterized"}
    assert set(rows["role"][rows["method"] == "damped_module:Newton"]) == {"baseline"}
    exact = rows.query("method == 'damped_module:Newton' and problem == 'simulators/damped.py:Damped'")
    assert (exact["loss"] < 1e-12).all()
    noisy = rows[rows["problem"] == "damped_module:Damped@noisy"]
    assert (noisy["loss"] > 1e-3).all()
    assert noisy["error"].isna().all()
    assert noisy["truth"].isna().all()


def test_its_tables_and_figures_are_whole_and_know_no_paper(finished):
    place, output = finished
    folder = place / "results" / "mine"
    slugs = [Label(text).slug for text in ("damped_module:Damped@noisy", "simulators/damped.py:Damped")]
    for slug in slugs:
        for name in (f"{slug}.csv", f"{slug}-by-n.csv"):
            table = pd.read_csv(folder / "tables" / name)
            assert set(table["reference"]) == {"damped_module:Newton"}
            learned = set() if "noisy" in slug else {"reparameterized", "better of both"}
            assert set(table["method"]) == {"damped_module:Newton", *learned}
            assert not [column for column in table if "paper" in column]
        assert (folder / "figures" / f"{slug}.png").read_bytes().startswith(b"\x89PNG")
    legible = (folder / "tables" / "tables.md").read_text()
    assert "## damped.py:Damped, mean over n" in legible
    for text in (legible, output):
        assert "paper" not in text
        assert "nan" not in text
    assert "damped.py:Damped, refined, against damped_module:Newton" in output
    data = Store(folder).figure_data("simulators/damped.py:Damped")
    assert str(data["landscape_label"]) == "height"
    assert {path.parent.name for path in place.rglob("*.csv")} == {"tables"}
    assert sorted(path.name for path in place.iterdir() if path.name != "__pycache__") == [
        "damped_module.py",
        "mine.yaml",
        "results",
        "simulators",
    ]


def test_the_same_command_resumes_and_edited_code_is_refused(finished):
    place, _ = finished
    stored = {path: path.stat().st_mtime_ns for path in place.rglob("*.parquet")}
    assert call("run", "simulators/damped.py:Damped", "--preset", "mine.yaml").exit_code == 0
    assert stored == {path: path.stat().st_mtime_ns for path in place.rglob("*.parquet")}
    (place / "simulators" / "damped.py").write_text(FILE.replace("0.5, 4.0", "0.5, 3.0"))
    assert "was run with other sources" in message("run", "--preset", "mine.yaml")
    (place / "simulators" / "damped.py").write_text(FILE)


def test_run_by_the_command_line_alone(folder):
    out = folder / "run"
    result = call("run", "damped.py:factory", "--n", 2, "--seeds", 1, "--method", "lockstep-lbfgs", "--out", out)
    assert result.exit_code == 0, result.output
    assert len(Store(out).rows()) == 2


def test_data_do_not_depend_on_the_folder_of_the_file(folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "damped.py").write_text(FILE)
    seeds = [plan(load_preset("quick").narrowed([f"{place}damped.py:Damped"]))[0].data_seed for place in ("", "deep/")]
    assert seeds[0] == seeds[1]


def test_solve_takes_own_problems_and_methods(folder):
    time = np.linspace(0.1, 2.0, 5)
    names = [f"time[{k}]" for k in range(5)] + [f"y[{k}]" for k in range(5)]
    rows = [np.concatenate([time, np.exp(-rate * time)]) for rate in (1.5, 2.5)]
    pd.DataFrame(rows, columns=names).to_csv("mine.csv", index=False)
    result = call("solve", "damped.py:Decay", "mine.csv", "--out", "solution.csv", "--method", "damped.py:Newton")
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(pd.read_csv("solution.csv")["rate"], [1.5, 2.5], rtol=1e-6)
    says = message("solve", "damped.py:Damped", "mine.csv", "--out", "other.csv", "--method", "damped.py:Newton")
    assert re.search(r"y\[19\] \(40\), got missing time\[5\], .* \(30\)$", says)


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        ("nowhere.py:Damped", "problem: expected an existing file before :Damped, got nowhere.py"),
        ("nowhere_at_all:Damped", "expected a module of the current folder, or an installed one, got nowhere_at_all"),
        ("damped.py:Damepd", r"such as .*Damped.*, got 'Damepd' \(did you mean 'Damped'\?\)"),
        ("damped.py:Plain", "expected a subclass or instance of InverseProblem, .*, got type .*Plain"),
        ("damped.py:number", "expected a subclass or instance of InverseProblem, .*, got int 3"),
        ("damped.py:not_a_factory", "expected a function that returns an instance of InverseProblem, got int 3"),
        ("damped.py:Fragile", r"constructed with no options, got FileNotFoundError: .*\(.*damped.py, line 34\)"),
        ("damped.py:Decay", "problem damped.py:Decay: expected a problem with sample"),
        ("damped.py:Damped@noisy", "a variant that the preset defines: there is none"),
    ],
)  # fmt: skip
def test_what_is_no_problem_is_refused_before_anything_runs(folder, problem, says):
    assert re.search(says, message("run", problem, "--n", 2, "--method", "lbfgs"))
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import numpy\n\nnumpy.nothing()\n", r"got AttributeError: .* \(.*broken.py, line 3\)"),
        ("def f(:\n", r"got SyntaxError: .* \(.*broken.py, line 1\)"),
        ("import not_installed\n", r"got ModuleNotFoundError: No module named 'not_installed' \(.*broken.py, line 1\)"),
        (
            "from kerasjoint import Unknown\nUnknown('a', lower=2.0, upper=1.0)\n",
            r"got ArgumentError: .*broken.py, line 2\)",
        ),
        ("raise SystemExit(3)\n", r"got SystemExit: 3 \(.*broken.py, line 1\)"),
    ],
)
@pytest.mark.parametrize("reference", ["broken.py:Damped", "broken:Damped"])
def test_code_that_does_not_import_is_named_with_its_line(folder, monkeypatch, text, says, reference):
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    (folder / "broken.py").write_text(text)
    assert re.search(says, message("solve", reference, "any.npz", "--out", "new.csv"))


@pytest.mark.parametrize(
    ("method", "says"),
    [("damped.py:Damped", "a subclass or instance of Method"), ("damped.py:Nweton", "did you mean 'Newton'")],
)
def test_what_is_no_method_is_refused(folder, method, says):
    assert re.search(f"method.*{says}", message("run", "billiards", "--n", 2, "--method", method))


@pytest.mark.parametrize("name", ["../escape", "a/b", "..", ".", "", "/tmp/x", "a\\b", "a\n", "x" * 101])
def test_a_preset_cannot_leave_the_results_folder(folder, name):
    (folder / "mine.yaml").write_text(
        f"name: {name!r}\nproblems: {{billiards: {{n: [2]}}}}\nmethods: {{lbfgs: {{}}}}\n"
    )
    assert "name: " in message("run", "--preset", "mine.yaml")
    assert sorted(path.name for path in folder.iterdir()) == ["damped.py", "mine.yaml"]


def test_options_of_own_problems_are_checked(folder):
    preset = "name: mine\nproblems: {{{label}: {{n: [2], options: {{nois: 1}}}}}}\nmethods: {{lbfgs: {{}}}}\n"
    for label, expected in (("damped.py:Damped", "one of noise"), ("damped.py:instance", "no options")):
        (folder / "mine.yaml").write_text(preset.format(label=label))
        assert f"expected {expected}, got 'nois'" in message("run", "--preset", "mine.yaml")


def test_a_file_is_executed_once_and_again_if_it_changes(folder):
    first, second = (type(construct(PROBLEMS, "damped.py:Damped", {})) for _ in range(2))
    assert first is second
    assert sys.modules[first.__module__].Damped is first
    digest = source_digest("damped.py:Damped")
    (folder / "damped.py").write_text(FILE + "\nadded = 1\n")
    assert type(construct(PROBLEMS, "damped.py:Damped", {})) is not first
    assert source_digest("damped.py:Damped") != digest
    assert source_digest("billiards") is None


def test_an_instance_is_a_problem_too(folder):
    problem = construct(PROBLEMS, "damped.py:instance", {})
    assert construct(PROBLEMS, "damped.py:instance", {}) is problem
    assert construct(METHODS, "damped.py:Newton", {"max_iterations": 3}).max_iterations == 3
