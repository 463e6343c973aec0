from __future__ import annotations

import shutil
from dataclasses import replace

import pandas as pd
import pytest
from stored_rows import in_order, result_of, sweep, task_of, written

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.engine import Engine
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.task_folders import TaskFolders


@pytest.fixture
def packed(store, tmp_path) -> Store:
    shutil.copytree(store.folder, tmp_path / "packed")
    copy = Store(tmp_path / "packed")
    assert copy.pack() == 16
    return copy


def test_nothing_is_lost_and_few_files_are_left(packed, store):
    again = Store(packed.folder)
    for read in (Store.rows, Store.traces):
        pd.testing.assert_frame_equal(in_order(read(again)), in_order(read(store)))
    names = [{task["settings"]["method"] for _, task in one.metadata().iterrows()} for one in (again, store)]
    assert names[0] == names[1]
    assert len(again.metadata()) == len(store.metadata())
    assert [path.name for path in (again.folder / "tasks").iterdir()] == ["packed-1"]


def test_a_run_goes_on_from_it(packed, preset):
    outcome = Engine(packed).run(plan(preset))
    assert (len(outcome.run), len(outcome.found)) == (0, 16)
    with pytest.raises(ArgumentError, match="preset_seed"):
        Engine(packed).run([replace(task, preset_seed=99) for task in plan(preset)])


def test_new_tasks_join_and_are_packed_too(packed, preset):
    task = replace(plan(preset)[0], seed=7)
    packed.write(task, result_of(task))
    assert Store(packed.folder).has(task)
    before = in_order(packed.rows())
    assert Store(packed.folder).pack() == 17
    pd.testing.assert_frame_equal(in_order(Store(packed.folder).rows()), before)
    assert [path.name for path in (packed.folder / "tasks").iterdir()] == ["packed-2"]


def test_a_pack_killed_before_it_cleaned_up_counts_nothing_twice(packed, store, preset):
    shutil.copytree(store.folder / "tasks", packed.folder / "tasks", dirs_exist_ok=True)
    again = Store(packed.folder)
    assert len(again.rows()) == len(store.rows())
    again.open_for(plan(preset))
    assert [path.name for path in (again.folder / "tasks").iterdir()] == ["packed-1"]


def test_a_task_that_another_process_finishes_meanwhile_is_kept(packed, preset, monkeypatch):
    tasks = [replace(plan(preset)[0], seed=seed) for seed in (7, 8)]
    packed.write(tasks[0], result_of(tasks[0]))
    write = pd.DataFrame.to_parquet

    def late(*arguments, **options):
        content = write(*arguments, **options)
        if not (other := Store(packed.folder)).has(tasks[1]):
            monkeypatch.setattr(pd.DataFrame, "to_parquet", write)
            other.write(tasks[1], result_of(tasks[1]))
        return content

    monkeypatch.setattr(pd.DataFrame, "to_parquet", late)
    assert Store(packed.folder).pack() == 17
    left = Store(packed.folder)
    assert all(left.has(task) for task in tasks)
    assert len(left.rows().query("seed in (7, 8)")) == 4


def test_an_unreadable_pack_is_named(packed):
    (packed.folder / "tasks" / "packed-1" / "tasks.json").write_text("{")
    with pytest.raises(ArgumentError, match=r"packed-1/tasks\.json"):
        Store(packed.folder).metadata()


@pytest.fixture
def small(tmp_path) -> Store:
    return written(Store(tmp_path / "run"), sweep())


def shown(store: Store) -> list[str]:
    return sorted(path.name for path in (store.folder / "tasks").iterdir())


def test_a_process_that_looked_before_it_was_packed_counts_nothing_twice(small):
    other, tasks = Store(small.folder), sweep()
    before = in_order(other.rows())
    assert other.has(tasks[0])
    small.pack()
    pd.testing.assert_frame_equal(in_order(other.rows()), before)
    assert all(other.has(task) for task in tasks)
    more = task_of(seed=9)
    other.write(more, result_of(more))
    small.pack()
    assert len(other.rows()) == len(before) + more.n
    assert shown(small) == ["packed-2"]


def test_a_task_stored_again_after_it_was_packed_counts_once(small):
    before = in_order(small.rows())
    small.pack()
    task = sweep()[0]
    small.write(task, result_of(task))
    assert task.name in shown(small)
    pd.testing.assert_frame_equal(in_order(small.rows()), before)
    small.pack()
    assert shown(small) == ["packed-1"]


def test_a_reader_misses_nothing_while_the_last_pack_is_still_there(small, monkeypatch):
    small.pack()
    more = task_of(seed=9)
    small.write(more, result_of(more))
    before, folders, tasks = in_order(small.rows()), TaskFolders._folders, small.folder / "tasks"

    def late(self):
        found = folders(self)
        monkeypatch.setattr(TaskFolders, "_folders", folders)
        shutil.copytree(tasks / "packed-1", small.folder / "kept")
        Store(small.folder).pack()
        (small.folder / "kept").rename(tasks / "packed-1")
        return found

    monkeypatch.setattr(TaskFolders, "_folders", late)
    pd.testing.assert_frame_equal(in_order(Store(small.folder).rows()), before)
    assert shown(small) == ["packed-1", "packed-2"]


@pytest.mark.parametrize("call", range(4))
def test_rows_that_are_packed_while_they_are_read_are_all_there(small, monkeypatch, call):
    before, folders, calls = in_order(small.rows()), TaskFolders._folders, []

    def late(self):
        found = folders(self)
        calls.append(self)
        if len(calls) == call + 1:
            with monkeypatch.context() as patch:
                patch.setattr(TaskFolders, "_folders", folders)
                assert Store(small.folder).pack() == len(sweep())
        return found

    monkeypatch.setattr(TaskFolders, "_folders", late)
    pd.testing.assert_frame_equal(in_order(Store(small.folder).rows()), before)


def test_of_two_packs_at_once_neither_loses_a_task(small, monkeypatch):
    write, more = TaskFolders.write_pack, task_of(seed=9)

    def late(self, *arguments):
        monkeypatch.setattr(TaskFolders, "write_pack", write)
        small.write(more, result_of(more))
        assert Store(small.folder).pack() == len(sweep()) + 1
        return write(self, *arguments)

    monkeypatch.setattr(TaskFolders, "write_pack", late)
    assert Store(small.folder).pack() == len(sweep()) + 1
    assert shown(small) == ["packed-1"]
    assert small.has(more)


def test_the_next_pack_clears_what_a_killed_one_left(small):
    shutil.copytree(small.folder / "tasks", small.folder / "kept")
    small.pack()
    shutil.copytree(small.folder / "tasks" / "packed-1", small.folder / "tasks" / "packed-2")
    shutil.copytree(small.folder / "kept", small.folder / "tasks", dirs_exist_ok=True)
    (small.folder / "tasks" / sweep()[0].name / "rows.parquet").unlink()
    assert len(shown(small)) == len(sweep()) + 2
    assert small.pack() == len(sweep())
    assert shown(small) == ["packed-2"]
