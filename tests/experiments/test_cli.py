from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kerasjoint.errors import KerasjointError
from kerasjoint.experiments.cli import app
from kerasjoint.experiments.instance_files import column_names
from kerasjoint.problems import Billiards, WavePacket

runner = CliRunner()


def call(*arguments: object):
    return runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def test_help_imports_no_tensorflow():
    code = "import sys; from kerasjoint.experiments.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert "report" in result.stdout
    assert result.stdout.strip().endswith("False False")


def test_list_shows_every_kind():
    result = call("list")
    assert result.exit_code == 0
    for name in ("wave-packet", "billiards", "neural-adjoint", "convolutional", "quick", "paper-window"):
        assert name in result.stdout


def test_run_resumes_and_report_repeats_it(tmp_path):
    out = tmp_path / "run"
    arguments = ("run", "billiards", "--n", 2, "--seeds", 1, "--method", "lbfgs", "--out", out)
    first = call(*arguments)
    assert first.exit_code == 0, first.output
    table = out / "tables" / "billiards.csv"
    content, rows = table.read_text(), (out / "tasks" / "billiards.lbfgs.n2.s0" / "rows.parquet").read_bytes()
    assert (out / "figures" / "billiards.png").read_bytes().startswith(b"\x89PNG")
    assert call(*arguments).exit_code == 0
    assert (out / "tasks" / "billiards.lbfgs.n2.s0" / "rows.parquet").read_bytes() == rows
    table.unlink()
    assert call("report", out).exit_code == 0
    assert table.read_text() == content
    assert not (out / "report.html").exists()


def test_a_run_without_a_baseline_is_compared_with_its_first_method(tmp_path):
    out = tmp_path / "run"
    result = call("run", "billiards", "--n", 2, "--seeds", 1, "--method", "reparameterized", "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "tables" / "billiards.csv")
    assert set(table["reference"]) == {"reparameterized"}
    refined = table[(table["stage"] == "refined") & (table["selection"] == "best")]
    assert refined["equal"].tolist() == [1.0]


def test_solve_reads_the_users_file(tmp_path):
    problem_set = Billiards().sample(3, seed=5)
    values = {name: problem_set.x[name] for name in ("cue", "ball")} | {"y": problem_set.y}
    flat = np.concatenate([values[name] for name in ("cue", "ball", "y")], axis=1)
    csv, npz = tmp_path / "mine.csv", problem_set.save(tmp_path / "mine.npz")
    pd.DataFrame(flat, columns=column_names(Billiards())).to_csv(csv, index=False)
    for file in (csv, npz):
        out = tmp_path / f"{file.suffix[1:]}-solution.csv"
        result = call("solve", "billiards", file, "--out", out, "--method", "lbfgs")
        assert result.exit_code == 0, result.output
    first, second = (pd.read_csv(tmp_path / f"{kind}-solution.csv") for kind in ("csv", "npz"))
    np.testing.assert_allclose(first["v0[0]"], second["v0[0]"], rtol=1e-9)


def test_a_csv_without_header_is_read_if_asked_for(tmp_path):
    csv, out = tmp_path / "signals.csv", tmp_path / "solution.csv"
    np.savetxt(csv, WavePacket().sample(2, seed=1).y, delimiter=",")
    result = call("solve", "wave-packet", csv, "--out", out, "--method", "lbfgs", "--no-header")
    assert result.exit_code == 0, result.output
    assert len(pd.read_csv(out)) == 2


def test_solve_takes_a_budget_adds_errors_and_replaces_a_file_if_so_asked(tmp_path):
    file, out = tmp_path / "signals.npz", tmp_path / "solution.csv"
    WavePacket().sample(3, seed=1).save(file)
    arguments = ("solve", "wave-packet", file, "--out", out, "--method", "multi-start", "--evaluations", 60)
    assert call(*arguments).exit_code == 0
    plain = pd.read_csv(out)
    assert plain["evaluations"].between(60, 300).all()
    assert "a new file, or --overwrite beside it" in str(call(*arguments).exception)
    result = call(*arguments, "--errors", "--overwrite")
    assert result.exit_code == 0, result.output
    with_errors = pd.read_csv(out)
    new = [name for name in with_errors if name not in plain]
    assert new
    assert all(name.startswith("standard error ") for name in new)
    assert (with_errors[new] > 0).all(axis=None)
    refused = call(*arguments[:-4], "--method", "lbfgs", "--evaluations", 60, "--overwrite")
    assert "evaluations=60" in str(refused.exception)
    pd.testing.assert_frame_equal(pd.read_csv(out), with_errors)


@pytest.mark.parametrize("first", [range(256), [0.5] * 256], ids=["integer names", "numbers"])
def test_a_first_row_of_numbers_is_not_taken_for_an_instance(tmp_path, first):
    csv, out = tmp_path / "signals.csv", tmp_path / "solution.csv"
    csv.write_text("".join(",".join(map(str, row)) + "\n" for row in (first, [1.0] * 256)))
    result = call("solve", "wave-packet", csv, "--out", out, "--method", "lbfgs")
    assert isinstance(result.exception, KerasjointError)
    assert re.search(r"a header with the columns y\[0\], .*; or --no-header", str(result.exception))
    assert not out.exists()


def test_a_csv_for_a_problem_with_condition_needs_a_header(tmp_path):
    csv = tmp_path / "shots.csv"
    csv.write_text("1,2,3,4,5,6\n")
    for options, says in (((), "got 1, 2, 3"), (("--no-header",), "got --no-header")):
        result = call("solve", "billiards", csv, "--out", tmp_path / "solution.csv", *options)
        assert re.search(rf"a header with the columns cue\[0\], .*{says}", str(result.exception))
        assert "or --no-header" not in str(result.exception)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: [1, *row], "rows of equal length"),
        (lambda row: row[:-1], "a missing value in row 0, column y"),
        (lambda row: [*row[:-1], "left"], "'left' in row 0, column y"),
    ],
    ids=["row names", "short", "text"],
)
def test_a_csv_whose_rows_do_not_fit_its_header_is_refused(tmp_path, change, says):
    csv, columns = tmp_path / "bad.csv", column_names(Billiards())
    rows = [columns, change(list(range(len(columns))))]
    csv.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    result = call("solve", "billiards", csv, "--out", tmp_path / "solution.csv")
    assert isinstance(result.exception, KerasjointError)
    assert re.search(says, str(result.exception))


@pytest.mark.parametrize(
    ("header", "says"),
    [(lambda names: ["", *names[1:]], "without a name"), (lambda names: [names[1], *names[1:]], "each column once")],
)
def test_a_csv_with_a_wrong_header_is_refused(tmp_path, header, says):
    csv, columns = tmp_path / "bad.csv", column_names(Billiards())
    csv.write_text("".join(",".join(map(str, row)) + "\n" for row in (header(columns), range(len(columns)))))
    result = call("solve", "billiards", csv, "--out", tmp_path / "solution.csv")
    assert re.search(says, str(result.exception))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2,3\n4,5\n6,7,8\n", "256 columns|rows of equal length"),
        ("1,2\n4,5,6\n", "rows of equal length|256 columns"),
        (",".join(["1"] * 256) + "\n" + ",".join(["1"] * 255) + ",left\n", "'left' in row 1"),
        (",".join(["1"] * 256) + "\n" + ",".join(["1"] * 255) + "\n", "missing value in row 1"),
        (",".join(["1"] * 256) + "\n" + ",".join(["1"] * 255) + ",inf\n", "instances 1"),
        ("", "rows of equal length"),
    ],
    ids=["ragged", "longer", "text", "short", "infinite", "empty"],
)
def test_a_bad_csv_is_refused_and_nothing_is_written(tmp_path, text, says):
    csv, out = tmp_path / "bad.csv", tmp_path / "solution.csv"
    csv.write_text(text)
    result = call("solve", "wave-packet", csv, "--out", out, "--no-header")
    assert isinstance(result.exception, KerasjointError)
    assert result.exception.args[0].startswith((str(csv), "y"))
    assert re.search(says, str(result.exception))
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "billard"), "billiards"),
        (("run", "--method", "lbfg"), "lbfgs"),
        (("run", "--preset", "quikc"), "quick"),
        (("report", "nowhere"), "nowhere"),
        (("solve", "billiards", "nowhere.npz", "--out", "new.csv"), "nowhere.npz"),
        (("solve", "billiards", "nowhere.npz", "--out", "new.txt"), "--out"),
        (("solve", "billiards@hits", "nowhere.npz", "--out", "new.csv"), "there is none"),
    ],
)
def test_a_wrong_name_is_refused(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert isinstance(result.exception, KerasjointError)
    assert says in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_an_existing_solution_is_not_overwritten(tmp_path):
    out = tmp_path / "solution.csv"
    out.write_text("mine")
    result = call("solve", "billiards", "any.npz", "--out", out)
    assert "exists" in str(result.exception)
    assert out.read_text() == "mine"


def test_the_command_exits_with_2_and_one_line(tmp_path):
    command = [sys.executable, "-m", "kerasjoint.experiments.cli", "report", str(tmp_path / "nowhere")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "nowhere" in result.stderr
    assert "Traceback" not in result.stderr
