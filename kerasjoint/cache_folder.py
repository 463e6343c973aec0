"""The folder of compiled code: private, checked when it is read, bounded, and safe between processes."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shutil
import stat
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from kerasjoint.errors import ArgumentError

MOST_BYTES = 512 * 2**20
# In front of the folders that processes work in.
RUN = "run-"
LOCK = "lock"
# Where the disk has less left nothing is kept: TensorFlow fails where it cannot write.
LEAST_FREE = 2**30
# Facts about the processor in /proc/cpuinfo, on x86 and on ARM, that compiled code depends on.
PROCESSOR = ("model name", "flags", "cpu family", "model", "stepping", "Features", "CPU implementer", "CPU part")


def check_private(folder: Path) -> None:
    """Refuse a folder that other users could write to or replace, or that is a link."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ArgumentError("cache folder", "a folder, not a link or file", str(folder))
    above = folder.parent.resolve()
    for place in (folder, above, *above.parents):
        try:
            facts = place.stat()
        except FileNotFoundError:  # It will be made.
            continue
        if facts.st_uid != os.geteuid() and (place == folder or facts.st_uid != 0):
            raise ArgumentError("cache folder", "a folder of your own", f"{place}, which is another user's")
        # In a sticky folder such as /tmp others cannot replace what is yours.
        if _others_write(facts) and (place == folder or not facts.st_mode & stat.S_ISVTX):
            got = f"{place}, which others can write to (chmod go-w {place})"
            raise ArgumentError("cache folder", "a folder that only you can write to, since its code is run", got)


def _others_write(facts: os.stat_result) -> bool:
    return bool(facts.st_mode & stat.S_IWOTH or (facts.st_mode & stat.S_IWGRP and not _is_private(facts.st_gid)))


def _is_private(group: int) -> bool:
    """Return whether a group is that of one user alone, as many systems make one for each."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and not {*found.gr_mem} - {user.pw_name}


def machine_key() -> str:
    """Return a digest of what compiled code depends on: versions, processor and the switches of XLA."""
    facts = [version(name) for name in ("kerasjoint", "tensorflow")]
    facts += [platform.python_version(), platform.platform(), *_processor()]
    facts += [os.environ.get(name, "") for name in ("XLA_FLAGS", "TF_XLA_FLAGS")]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


class Session:
    """The compiled code that one process uses, in a folder of its own.

    TensorFlow believes what it reads. So it gets a folder with links to those entries whose digests are right; others
    are removed. When the process ends, what it compiled is moved to the entries, each under a name with its digest.
    No process sees half an entry, and none loses one that it is about to read.

    Parameters
    ----------
    root
        The folder of all compiled code.
    key
        What its entries depend on.

    Attributes
    ----------
    folder
        Where TensorFlow reads and writes.
    """

    def __init__(self, root: Path, key: str) -> None:
        self._root, self._entries, self._process = root, root / key, os.getpid()
        for place in (*reversed(root.parents), root, self._entries):
            place.mkdir(exist_ok=True, mode=0o700)
        check_private(self._entries)
        if shutil.disk_usage(root).free < LEAST_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _remove_abandoned(root)
        self.folder = self._entries / f"{RUN}{uuid4().hex}"
        self.folder.mkdir(mode=0o700)
        self._lock = _lock(self.folder, os.O_CREAT)
        self._known: dict[str, Path] = {}
        for entry in _entries_in(self._entries):
            self._offer(entry)

    def close(self) -> None:
        """Keep what was compiled, remove the entries unused for longest beyond the bound, and the own folder."""
        if os.getpid() != self._process or not self.folder.is_dir():
            return
        try:
            for path in self.folder.glob("*.pb"):
                known = self._known.get(path.name)
                if known is None:
                    path.chmod(0o600)
                    os.replace(path, self._entries / f"{path.name}.{_digest(path)}")
                elif path.stat().st_atime_ns:
                    os.utime(path)
            _remove_oldest(self._root)
        except OSError:  # As on a full disk: then it is compiled again.
            pass
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)

    def forget(self) -> bool:
        """Remove the entries that were offered, one of which is of no use; return whether there were any."""
        known, self._known = self._known, {}
        for name, entry in known.items():
            (self.folder / name).unlink(missing_ok=True)
            entry.unlink(missing_ok=True)
        return bool(known)

    def _offer(self, entry: Path) -> None:
        name, _, digest = entry.name.rpartition(".")
        place = self.folder / name
        try:
            if _digest(entry) != digest:
                entry.unlink()
            elif not place.exists():
                os.link(entry, place)
                # TensorFlow's reading it sets the time of access, which tells that it was used.
                os.utime(place, ns=(0, place.stat().st_mtime_ns))
                self._known[name] = entry
        except FileNotFoundError:  # Another process removed it.
            pass


def _entries_in(folder: Path) -> Iterator[Path]:
    """Iterate over the entries of a key: files of this user, no links."""
    for path in folder.glob("*.pb.*"):
        facts = path.lstat()
        if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and not _others_write(facts):
            yield path


def _remove_oldest(root: Path) -> None:
    entries = [(facts.st_mtime_ns, facts.st_size, path) for path, facts in _facts(root.glob("*/*.pb.*"))]
    total = 0
    for _, size, path in sorted(entries, reverse=True):
        total += size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)


def _facts(paths: Iterator[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in paths:
        try:
            yield path, path.lstat()
        except FileNotFoundError:  # Another process removed it.
            continue


def _remove_abandoned(root: Path) -> None:
    """Remove the folders of processes that were killed: their locks are free."""
    for folder in root.glob(f"*/{RUN}*"):
        try:
            descriptor = _lock(folder)
        except BlockingIOError:
            continue
        except OSError:  # Removed meanwhile, or made this moment and not locked yet.
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _lock(folder: Path, flags: int = 0) -> int:
    """Lock a process's folder; the descriptor returned holds the lock until it is closed or the process ends."""
    import fcntl

    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _processor() -> list[str]:
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0]
    except OSError:
        return [platform.machine(), platform.processor()]
    facts = (line.partition(":") for line in first.splitlines())
    return [value.strip() for name, _, value in facts if name.strip() in PROCESSOR]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
