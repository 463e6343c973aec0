from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from helpers import Decay, decay_set

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.npy_folder import open_npy_folder, write_npy_folder
from kerasjoint.npz import read_npz, write_npz


@pytest.fixture
def saved(decay: ProblemSet, tmp_path: Path) -> Path:
    return decay.save(tmp_path / "set.npz")


@pytest.mark.parametrize("truth", [True, False])
def test_round_trip_keeps_every_bit(decay: ProblemSet, tmp_path: Path, truth: bool) -> None:
    guess = decay.guess + 0.1 * np.arange(4)[:, None]
    original = ProblemSet(decay.problem, decay.x, decay.y, decay.truth if truth else None, guess)
    loaded = ProblemSet.load(decay.problem, original.save(str(tmp_path / "set.npz")))
    for name in ("y", "guess", "truth"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(original, name))
    assert list(loaded.x) == ["time"]
    np.testing.assert_array_equal(loaded.x["time"], original.x["time"])
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_a_users_own_file_needs_no_more_than_y(decay: ProblemSet, tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **{"y": decay.y.astype(np.float32), "x/time": decay.x["time"]})
    loaded = ProblemSet.load(decay.problem, tmp_path / "own.npz")
    assert loaded.truth is None
    np.testing.assert_array_equal(loaded.guess, decay.guess)


def cut(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-40])


def flip(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    for position in range(60, 400):
        content[position] ^= 0x5A
    saved.write_bytes(content)


def pickled(saved: Path) -> None:
    np.savez(saved, y=np.array([{"a": 1}], dtype=object))


def bare_pickle(saved: Path) -> None:
    np.array([{"a": 1}], dtype=object).dump(saved)


def single_array(saved: Path) -> None:
    with saved.open("wb") as file:
        np.save(file, np.zeros((3, 3)))


def other_names(saved: Path) -> None:
    np.savez(saved, weights=np.zeros(3), y=np.zeros(3))


def no_observation(saved: Path) -> None:
    np.savez(saved, **{"x/time": np.zeros(3)})


def text(saved: Path) -> None:
    saved.write_text("1.0, 2.0\n")


def empty(saved: Path) -> None:
    saved.write_bytes(b"")


@pytest.mark.parametrize(
    "spoil", [cut, flip, pickled, bare_pickle, single_array, other_names, no_observation, text, empty]
)
def test_a_spoilt_file_is_refused_by_its_name(decay: ProblemSet, saved: Path, spoil: object) -> None:
    spoil(saved)
    with pytest.raises(ArgumentError, match=r"set\.npz: expected"):
        ProblemSet.load(decay.problem, saved)


@pytest.mark.parametrize("position", range(30, 700, 67))
def test_one_wrong_byte_never_gives_other_numbers(decay: ProblemSet, saved: Path, position: int) -> None:
    content = bytearray(saved.read_bytes())
    content[position] ^= 0xFF
    saved.write_bytes(content)
    try:
        loaded = ProblemSet.load(decay.problem, saved)
    except ArgumentError:
        return
    np.testing.assert_array_equal(loaded.y, decay.y)


def test_a_missing_file_and_a_wrong_name_are_refused(decay: ProblemSet, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="path: expected an existing"):
        ProblemSet.load(decay.problem, tmp_path / "set.npz")
    with pytest.raises(ArgumentError, match=r"path: expected a name ending in \.npz"):
        decay.save(tmp_path / "set.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failing", ["savez", "replace"])
def test_a_failed_save_leaves_the_old_file(
    decay: ProblemSet, saved: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before = saved.read_bytes()

    def half_written(stream: BinaryIO, **arrays: np.ndarray) -> None:
        stream.write(b"PK half")
        raise OSError("no space left on device")

    def denied(*paths: object) -> None:
        raise PermissionError("denied")

    if failing == "savez":
        monkeypatch.setattr(np, "savez_compressed", half_written)
    else:
        monkeypatch.setattr(os, "replace", denied)
    with pytest.raises(OSError, match=r"no space|denied"):
        decay_set(Decay(), n=2).save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["set.npz"]


@pytest.mark.parametrize("name", ["t/x", "..", "", "../../elsewhere"])
def test_arrays_whose_names_lead_out_of_their_folder_are_refused(tmp_path, name) -> None:
    with pytest.raises(ArgumentError, match="folder: expected arrays whose names can be those of files"):
        write_npy_folder(tmp_path / "set", {f"x/{name}": np.zeros(2)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 3])
def test_what_is_no_path_is_refused(tmp_path, path) -> None:
    for use in (partial(write_npz, arrays={}), read_npz):
        with pytest.raises(ArgumentError, match="path: expected the name of a file or folder"):
            use(path)
    for use in (partial(write_npy_folder, arrays={}), open_npy_folder):
        with pytest.raises(ArgumentError, match="folder: expected the name of a file or folder"):
            use(path)
