"""The cache of compiled code: private, checked, bounded; real processes where TensorFlow takes part."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerasjoint import ArgumentError, cache_folder, compile_cache, set_cache
from kerasjoint.cache_folder import Session, check_private, machine_key

CODE = """
import json, sys, time, kerasjoint
from kerasjoint.problems import WavePacket
if len(sys.argv) > 1:
    kerasjoint.set_cache(None)
problem_set = WavePacket().sample(3, seed=0)
value, gradient = problem_set.value_and_gradient(problem_set.guess)
print(json.dumps([problem_set.y.tobytes().hex(), value.tobytes().hex(), gradient.tobytes().hex()]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "cache"


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_chosen", "_was_set", "_began"):
        monkeypatch.setattr(compile_cache, name, getattr(compile_cache, name))
    compile_cache._began = False


def solve(folder: Path, *arguments: str) -> list[str]:
    environment = os.environ | {"KERASJOINT_CACHE": str(folder)}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", CODE, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def entries(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.glob("*/*.pb.*")}


def write(folder: Path, *names: str, size: int = 10) -> None:
    """Let a process end that compiled these."""
    session = Session(folder, "key")
    for name in names:
        (session.folder / f"{name}.pb").write_bytes(name.encode() * size)
    session.close()


def write_entry(folder: Path, name: str, content: bytes) -> None:
    place = folder / f"{name}.{hashlib.sha256(content).hexdigest()}"
    place.write_bytes(content)
    place.chmod(0o600)


def offered(folder: Path) -> set[str]:
    session = Session(folder, "key")
    try:
        return {path.stem for path in session.folder.glob("*.pb")}
    finally:
        session.close()


def test_later_processes_compile_nothing_and_survive_damage(folder: Path) -> None:
    first = solve(folder)
    compiled = entries(folder)
    assert len(compiled) >= 3  # the prediction, the gradient, and what starts XLA
    assert solve(folder) == first
    assert entries(folder) == compiled
    for path in folder.glob("*/*.pb.*"):
        content = path.read_bytes()
        path.write_bytes(content[:-200] + bytes([content[-200] ^ 1]) + content[-199:])
    assert solve(folder) == first
    anew = entries(folder)
    assert {name.rpartition(".")[0] for name in anew} == {name.rpartition(".")[0] for name in compiled}
    for path in folder.glob("*/*.pb.*"):
        assert path.name.rpartition(".")[2] == hashlib.sha256(path.read_bytes()).hexdigest()
    # Whole entries under wrong names: TensorFlow refuses the one it asks for, and all are compiled again.
    (one, two) = sorted(folder.glob("*/*.pb.*"), key=lambda path: path.stat().st_size)[-2:]
    names, contents = [path.name.rpartition(".")[0] for path in (one, two)], [one.read_bytes(), two.read_bytes()]
    for path, name, content in zip((one, two), names, contents[::-1], strict=True):
        path.unlink()
        write_entry(path.parent, name, content)
    assert solve(folder) == first
    assert solve(folder) == first
    assert not [*folder.glob("*/run-*")]
    assert solve(folder / "unused", "off") == first
    assert not (folder / "unused").exists()


def test_entries_are_private_and_offered_by_name(folder: Path) -> None:
    write(folder / "deep", "one", "two")
    assert offered(folder / "deep") == {"one", "two"}
    for path in (folder, folder / "deep", folder / "deep" / "key", *folder.glob("deep/key/*")):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"x" + content[1:], lambda _: b""])
def test_a_damaged_entry_is_removed(folder: Path, damage: object) -> None:
    write(folder, "good", "bad")
    (bad,) = folder.glob("key/bad*")
    bad.write_bytes(damage(bad.read_bytes()))
    assert offered(folder) == {"good"}
    assert not bad.exists()


def test_links_and_entries_that_others_can_write_are_not_offered(folder: Path) -> None:
    write(folder, "good", "open", "elsewhere")
    (opened,), (link,) = folder.glob("key/open*"), folder.glob("key/elsewhere*")
    opened.chmod(0o666)
    link.rename(folder / link.name)
    link.symlink_to(folder / link.name)
    assert offered(folder) == {"good"}


def test_the_size_is_bounded_and_what_was_used_last_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "MOST_BYTES", 3000)
    for time, name in enumerate(("a", "b", "c")):
        write(folder, name, size=1000)
        os.utime(next(folder.glob(f"key/{name}.pb.*")), (time, time))
    session = Session(folder, "key")
    os.utime(session.folder / "a.pb", (9, 0))  # as reading does
    session.close()
    write(folder, "d", size=1000)
    assert {path.name[0] for path in folder.glob("key/*.pb.*")} == {"a", "c", "d"}


def test_processes_side_by_side_do_not_take_each_others_entries(folder: Path) -> None:
    write(folder, "old")
    one, two = Session(folder, "key"), Session(folder, "key")
    for session in (one, two):
        (session.folder / "new.pb").write_bytes(b"the same code")
    next(folder.glob("key/old*")).unlink()
    one.close()
    assert (two.folder / "old.pb").exists()
    two.close()
    assert offered(folder) == {"new"}


def test_what_a_killed_process_left_is_removed_unchecked(folder: Path) -> None:
    killed = Session(folder, "key")
    (killed.folder / "half.pb").write_bytes(b"half")
    os.close(killed._lock)
    assert offered(folder) == set()
    assert not killed.folder.exists()


def test_a_full_disk_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "LEAST_FREE", 2**62)
    with pytest.raises(OSError, match="No space"):
        Session(folder, "key")


@pytest.fixture(params=["open", "above", "link", "file"])
def refused(request: pytest.FixtureRequest, folder: Path) -> Iterator[Path]:
    place = folder / "in" if request.param == "above" else folder
    if request.param == "file":
        place.write_text("")
    elif request.param == "link":
        (folder.parent / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(folder.parent / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    return place


@pytest.mark.usefixtures("restored")
def test_a_folder_that_others_could_change_is_refused(refused: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="cache folder: expected a folder"):
        set_cache(refused)
    monkeypatch.setenv("KERASJOINT_CACHE", str(refused))
    with pytest.warns(RuntimeWarning, match="compiled code is not kept: cache folder: .*KERASJOINT_CACHE=off"):
        assert compile_cache.begin() is None


def test_another_users_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(ArgumentError, match="which is another user's"):
        check_private(folder)


def test_the_key_changes_with_versions_processor_and_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {machine_key()}
    monkeypatch.setattr(cache_folder, "version", lambda name: "0")
    keys.add(machine_key())
    monkeypatch.setattr(cache_folder, "_processor", lambda: ["another"])
    keys.add(machine_key())
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    keys.add(machine_key())
    assert len(keys) == 4


@pytest.mark.usefixtures("restored")
def test_the_choice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    assert compile_cache._folder() is None  # as the tests are run
    monkeypatch.delenv("KERASJOINT_CACHE")
    assert compile_cache._folder() is None
    monkeypatch.setenv("KERASJOINT_CACHE", "default")
    assert compile_cache._folder() == folder / "kerasjoint"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert compile_cache._folder() == Path.home() / ".cache" / "kerasjoint"
    set_cache(folder)
    assert compile_cache._folder() == folder
    set_cache(None)
    assert compile_cache.begin() is None
    with pytest.raises(ArgumentError, match="a call before the first problem set"):
        set_cache(folder)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("folder", [3, "", b""])
def test_what_is_no_folder_is_refused(folder: object) -> None:
    with pytest.raises(ArgumentError, match="folder: expected a path"):
        set_cache(folder)
