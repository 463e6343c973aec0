"""Text that is no preset, or made to hang whoever reads it."""

from __future__ import annotations

import datetime

import pytest

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.preset import load_preset, parse_preset
from kerasjoint.experiments.preset_files import read_preset

RIGHT = {"name": "test", "problems": {"billiards": {"n": [2]}}, "methods": {"lbfgs": {}}}
BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed: !!int abc", "tags"),
        ("seed: !!timestamp abc", "tags"),
        ("seed: !!python/name:os.system", "tags"),
        ("names: !!set {a, b}", "tags"),
        ("seed: " + "1" * 5000, "numbers that Python holds"),
        ("seed: 0x" + "f" * 5000, "seed: Input should be|64 bits|unable to parse"),
        ("a: " + "[" * 10**5, "nested more than 20 levels"),
        ("a: " + "{b: " * 10**5, "nested more than 20 levels"),
        ("".join(" " * k + "a:\n" for k in range(900)), "nested more than 20 levels"),
        (BOMB, "aliases"),
        ("a: &a [*a]", "aliases"),
        ("seed: 1\nseed: 2", "a key that comes twice"),
        ("methods: {lbfgs: {}, lbfgs: {}}", "a key that comes twice"),
        ("? [a]\n: b", "unhashable"),
        ("a: =", "YAML"),
        ("a: 1\n--- \nb: 2", "single document"),
        ("a: \x00", "special characters"),
        ("2021-99-99: 1", "2021-99-99"),
        ("name: 2021-99-99", "problems"),
        ("a" * 10**6 + "b", "at most 1,000,000 bytes"),
        ("", "a mapping of keys, got NoneType"),
    ],
)
def test_text_that_is_no_preset_is_refused(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=rf"mine\.yaml(.|\n)*({says})") as caught:
        load_preset(str(path))
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize("content", ["name: test".encode("utf-16"), b"name: \xff"])
def test_another_encoding_is_refused(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ArgumentError, match="text in UTF-8"):
        load_preset(str(path))


@pytest.mark.parametrize("name", ["n" * 300, "n" * 10**6, "a\x00b", "/", "", "."])
def test_a_name_that_no_file_has_is_refused(name):
    with pytest.raises(ArgumentError, match="preset: expected one of"):
        read_preset(name)


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value",
    [datetime.date(2021, 1, 1), {1, 2}, b"bytes", (1, 2), 1j, float("nan"), 2**63, 10**5000, {1: 2}, LOOP, object()],
    ids=lambda value: type(value).__name__,
)
def test_options_are_plain(value):
    for options in ({"epochs": value}, {"epochs": [value]}, {"epochs": {"a": value}}):
        with pytest.raises(ArgumentError, match=r"instead of|mappings with text|64 bits|levels deep"):
            parse_preset(RIGHT | {"methods": {"reparameterized": options}}, "test")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "n" * 101}, "at most 100 letters"),
        ({"name": "π" * 51}, "at most 100 letters"),
        ({"seeds": True}, "seeds"),
        ({"seeds": "3"}, "seeds"),
        ({"seeds": 10**7}, "at most 100,000 tasks"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 10**5000}, "seed"),
        ({"problems": {"billiards": {"n": [True]}}}, "n.0"),
        ({"problems": {"billiards": {"n": [10**8]}}}, "n.0"),
        ({"problems": {"b" * 300: {"n": [2]}}}, "90 bytes"),
        ({"problems": {f"{'b' * 300}.py:{'C' * 300}": {"n": [2]}}}, "90 bytes"),
        ({"problems": {"a\nb.py:C": {"n": [2]}}}, "printable"),
        ({"methods": {f"lbfgs@{'a' * 300}": {}}}, "90 bytes"),
        ({"time_limit": 0}, "time_limit"),
        ({"time_limit": float("inf")}, "time_limit"),
        ({"time_limit": True}, "time_limit"),
        ({"time_limit": "1 h"}, "time_limit"),
    ],
)
def test_values_that_would_fail_later_are_refused(change, says):
    with pytest.raises(ArgumentError, match=says):
        parse_preset(RIGHT | change, "test")
    assert parse_preset(RIGHT | {"time_limit": 3}, "test").time_limit == 3
