"""Stored files that were changed, cut, moved or joined by others: named, and run again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stored_rows import in_order, result_of, sweep, task_of, written

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.engine import Engine
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.task_files import write_folder

TASK = task_of()


@pytest.fixture
def small(tmp_path) -> Store:
    return written(Store(tmp_path / "run"), sweep(1))


@pytest.fixture
def folder(small) -> Path:
    return small.folder / "tasks" / TASK.name


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "SHA256SUMS"}


def rewritten(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and its digest, as somebody would who edits results."""
    files = contents(folder) | {name: content}
    shutil.rmtree(folder)
    write_folder(folder, files)


def everything(store: Store) -> list[pd.DataFrame]:
    return [store.rows(), store.traces(), store.metadata(), store.failed()]


@pytest.mark.parametrize("packed", [False, True])
def test_a_flipped_bit_is_named_or_harmless(tmp_path, packed):
    store = written(Store(tmp_path / "run"), sweep(1))
    store.failures.write(task_of(seed=9), "out of memory")
    store.write_figure_data("billiards", {name: np.arange(9.0) for name in FIGURE})
    if packed:
        store.pack()
    before, figure = everything(store), store.figure_data("billiards")
    generator, files = np.random.default_rng(0), [path for path in store.folder.glob("*/**/*") if path.is_file()]
    files = [path for path in files if path.parent.name != "tables"]
    for _ in range(50):
        path = files[generator.integers(len(files))]
        content = bytearray(path.read_bytes())
        content[generator.integers(len(content))] ^= 1 << generator.integers(8)
        kept = path.read_bytes()
        path.write_bytes(content)
        named = ""
        try:
            after, drawn = everything(Store(store.folder)), store.figure_data("billiards")
        except ArgumentError as error:
            named = str(error)
        if named:
            assert path.parent.name in named
        else:
            for old, new in zip(before[:3], after[:3], strict=True):
                pd.testing.assert_frame_equal(old, new)
            reasons = after[3]["reason"].tolist()
            assert reasons == before[3]["reason"].tolist() or "is damaged" in reasons[0]
            for name in FIGURE:
                np.testing.assert_array_equal(drawn[name], figure[name])
        path.write_bytes(kept)


FIGURE = ("y", "landscape_label", "landscape_values", "landscape_loss")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.drop(columns="loss"), "none named loss"),
        (lambda rows: rows[:0], f"rows of the task {TASK.name}, got none"),
        (lambda rows: rows[:-1], "a row for each of its n instances, got 3 rows"),
        (lambda rows: pd.concat([rows, rows]), "each of its n instances once"),
        (lambda rows: rows.assign(instance=7), "each of its n instances once"),
        (lambda rows: rows.assign(loss=np.nan), "task billiards, lbfgs, n = 4, seed 0: expected a number as loss"),
        (lambda rows: rows.assign(loss="low"), "numbers as loss"),
        (lambda rows: rows.assign(method=3), "text as method"),
        (lambda rows: rows.assign(seed=1), "rows of the task"),
        (lambda rows: pd.concat([rows, rows.assign(seed=1)]), "no other task than"),
    ],
)
def test_rows_that_are_not_those_of_the_task_are_refused(small, folder, change, says):
    wrong = change(result_of(TASK).rows)
    with pytest.raises(ArgumentError, match=says):
        small.write(TASK, result_of(TASK)._replace(rows=wrong))
    rewritten(folder, "rows.parquet", wrong.to_parquet(index=False))
    with pytest.raises(ArgumentError, match=says) as caught:
        small.rows()
    assert TASK.name in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", '{"settings": {}, "preset": "a"}', "[" * 10**5, "\xff"])
def test_metadata_that_is_none_is_named_and_its_task_is_run_again(small, folder, text):
    rewritten(folder, "task.json", text.encode("latin-1"))
    for read in (small.rows, small.metadata, small.pack):
        with pytest.raises(ArgumentError, match=TASK.name):
            read()
    assert not small.has(TASK)
    assert list(small.open_for(sweep(1))) == [TASK.name]
    assert len(small.rows()) == len(written(Store(small.folder), sweep(1)).rows()) - TASK.n


@pytest.mark.parametrize("name", ["rows.parquet", "trace.parquet", "task.json", "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_broken_task_is_run_again_and_kept_aside(tmp_path, preset, store, name, damage):
    shutil.copytree(store.folder, tmp_path / "run")
    tasks = plan(preset)[:2]
    path = tmp_path / "run" / "tasks" / tasks[0].name / name
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-9])
    again = Store(tmp_path / "run")
    with pytest.raises(ArgumentError, match=rf"{tasks[0].name}/(rows|trace|task|SHA)"):
        again.rows()
    engine = Engine(again)
    engine.run(tasks)
    assert (engine.outcome.run, engine.outcome.found) == ([tasks[0]], [tasks[1]])
    assert tasks[0].name in engine.outcome.damaged[tasks[0].name]
    pd.testing.assert_series_equal(in_order(again.rows())["loss"], in_order(store.rows())["loss"])
    assert len(list((again.folder / "tasks").glob(".damaged-*"))) == 1


def test_tasks_in_each_others_folders_are_named(small, folder):
    other = small.folder / "tasks" / task_of("supervised").name
    (folder / "rows.parquet").rename(folder / "kept")
    (other / "rows.parquet").rename(folder / "rows.parquet")
    (folder / "kept").rename(other / "rows.parquet")
    with pytest.raises(ArgumentError, match=r"rows\.parquet: expected the content whose digest is in SHA256SUMS"):
        small.rows()


def test_a_renamed_task_is_named(small, folder):
    other = folder.with_name(task_of(seed=8).name)
    folder.rename(other)
    with pytest.raises(ArgumentError, match=f"metadata of the task {other.name}, got that of {folder.name}"):
        small.rows()


def test_what_is_no_task_is_named_and_other_files_are_ignored(small):
    before = small.rows()
    for name in (".DS_Store", "notes.txt", "packed-1.zip"):
        (small.folder / "tasks" / name).write_text("mine")
    (small.folder / "tasks" / ".cache").mkdir()
    pd.testing.assert_frame_equal(small.rows(), before)
    small.pack()
    (small.folder / "tasks" / "packed-x").mkdir()
    with pytest.raises(ArgumentError, match=r"tasks/packed-x/.*: expected a readable file"):
        small.rows()


def test_a_hidden_file_does_not_make_a_folder_anothers(tmp_path):
    (tmp_path / ".DS_Store").write_text("mine")
    Store(tmp_path).open_for([TASK])


def test_a_damaged_pack_is_named_and_nothing_runs(small):
    small.pack()
    path = small.folder / "tasks" / "packed-1" / "rows.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for read in (small.rows, lambda: Store(small.folder).open_for(sweep(1))):
        with pytest.raises(ArgumentError, match=r"packed-1/rows\.parquet"):
            read()


@pytest.mark.parametrize("content", [b"", b"PK", b"cut"])
def test_damaged_figure_data_is_named_and_drawn_again(tmp_path, preset, store, content):
    shutil.copytree(store.folder, tmp_path / "run")
    path, again = tmp_path / "run" / "figure-data" / "billiards.npz", Store(tmp_path / "run")
    path.write_bytes(path.read_bytes()[:-50] if content == b"cut" else content)
    with pytest.raises(ArgumentError, match=r"billiards\.npz"):
        again.figure_data("billiards")
    Engine(again).run(plan(preset)[:1])
    assert again.figure_data("billiards")["landscape_loss"].shape == (512,)


def test_a_damaged_record_of_a_failure_is_its_own_reason(small):
    failed = task_of(seed=9)
    small.failures.write(failed, "out of memory")
    assert small.failed()["reason"].tolist() == ["out of memory"]
    path = small.folder / "failures" / failed.name / "failure.json"
    path.write_text(json.dumps({"reason": "none"}))
    assert "failure.json" in small.failed()["reason"].item()
    assert small.failed()["task"].tolist() == [failed.name]
