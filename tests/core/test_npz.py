"""Files of arrays that are damaged, or made to fill the memory."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from kerasjoint.errors import ArgumentError
from kerasjoint.npz import read_npz, write_npz

ARRAYS = {"y": np.arange(6.0).reshape(2, 3), "x/a": np.float64(2), "text": np.array("lbfgs"), "none": np.zeros((0, 3))}


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": descr})
    return stream.getvalue()


def archive(path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_what_is_written_is_read(tmp_path):
    write_npz(tmp_path / "a.npz", ARRAYS)
    np.savez(tmp_path / "b.npz", **ARRAYS)
    for name in ("a.npz", "b.npz"):
        found = read_npz(tmp_path / name)
        assert found.keys() == ARRAYS.keys()
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(found[key], array)
            assert found[key].dtype == array.dtype


def test_python_objects_are_not_written(tmp_path):
    with pytest.raises(ArgumentError, match="things: expected an array of numbers or text, got one of Python objects"):
        write_npz(tmp_path / "a.npz", {"y": np.zeros(2), "things": np.array([{}, None])})
    assert not list(tmp_path.iterdir())


def test_a_name_as_long_as_the_folder_may_hold_is_written(tmp_path):
    written = write_npz(tmp_path / f"{'n' * 251}.npz", {"y": np.zeros(2)})
    np.testing.assert_array_equal(read_npz(written)["y"], 0)


def test_fortran_order_is_kept(tmp_path):
    y = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.savez(tmp_path / "a.npz", y=y)
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz")["y"], y)


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_another_compression_is_refused(tmp_path, compression):
    path = archive(tmp_path / "a.npz", {"y.npy": header((1,)) + bytes(8)}, compression)
    with pytest.raises(ArgumentError, match=r"a\.npz: .*another compression"):
        read_npz(path)


def test_an_encrypted_file_is_refused(tmp_path):
    path = archive(tmp_path / "a.npz", {"y.npy": header((1,)) + bytes(8)}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(ArgumentError, match=r"a\.npz: .*encryption"):
        read_npz(path)


def test_a_small_file_that_states_gigabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("y.npy", "w") as stream:
        stream.write(header((300 * 2**17,)))
        for _ in range(300):
            stream.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(ArgumentError, match=r"at most 28\d MB of arrays in a file of 0\.3 MB"):
        read_npz(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (header((5 * 10**9,)) + bytes(80), "states 40000000000 bytes of numbers and has 80"),
        (header((2, 3)) + bytes(40), "states 48 bytes of numbers and has 40"),
        (header((2,)) + bytes(40), "states 16 bytes of numbers and has 40"),
        (header((-1, -2)) + bytes(16), "states"),
        (header((1,), "|O") + bytes(8), "Python objects"),
        (header((1,), "|V2000000000") + bytes(8), "states 2000000000 bytes"),
        (header((1,))[:20], "EOF|header"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "version"),
        (b"not an array", "magic"),
        (header((1,)).replace(b"shape", b"shapf"), "keys"),
        (header((1,)).replace(b"(1,)", b"10**"), "header|literal"),
        (header((1,)).replace(b"(1,),", b"((((("), "multi-line"),
    ],
)
def test_a_header_that_does_not_fit_its_numbers_is_refused(tmp_path, content, says):
    path = archive(tmp_path / "a.npz", {"y.npy": content})
    with pytest.raises(ArgumentError, match=rf"a\.npz: .*({says})"):
        read_npz(path)


def test_other_files_in_the_archive_and_repeated_names_are_refused(tmp_path):
    path = archive(tmp_path / "a.npz", {"readme.txt": b"text"})
    with pytest.raises(ArgumentError, match=r"arrays alone, .*'readme\.txt'"):
        read_npz(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("y.npy", header((1,)) + bytes(8))
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("y.npy", header((1,)) + bytes(8))
    with pytest.raises(ArgumentError, match="different names"):
        read_npz(path)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    for content in (b"", b"PK", header((1,)) + bytes(8)):
        path.write_bytes(content)
        with pytest.raises(ArgumentError, match=r"a\.npz"):
            read_npz(path)
    for name in (tmp_path, tmp_path / "none.npz", tmp_path / ("n" * 300)):
        with pytest.raises(ArgumentError):
            read_npz(name)
