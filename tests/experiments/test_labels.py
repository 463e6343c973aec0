from __future__ import annotations

import re

import pytest

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.labels import Label, check_label, in_order
from kerasjoint.methods import METHODS
from kerasjoint.problems import PROBLEMS


@pytest.mark.parametrize(
    ("text", "base", "variant", "title", "seed_name", "slug"),
    [
        ("billiards", "billiards", "", "billiards", "billiards", "billiards"),
        ("billiards@hits", "billiards", "hits", "billiards@hits", "billiards", "billiards@hits"),
        ("my.damped:Damped", "my.damped:Damped", "", "my.damped:Damped", "my.damped:Damped", "my.damped.Damped"),
        ("damped:Damped@b-2", "damped:Damped", "b-2", "damped:Damped@b-2", "damped:Damped", "damped.Damped@b-2"),
        ("a.b:C.light", "a.b:C.light", "", "a.b:C.light", "a.b:C.light", r"a\.b\.C-light"),
        ("a/b c.py:D", "a/b c.py:D", "", "b c.py:D", "b c:D", r"b-c\.D-[0-9a-f]{8}"),
        ("/x@y/b.py:D@z", "/x@y/b.py:D", "z", "b.py:D@z", "b:D", r"b\.D-[0-9a-f]{8}@z"),
    ],
)  # fmt: skip
def test_the_parts_of_a_label(text, base, variant, title, seed_name, slug):
    label = Label(text)
    assert (label.base, label.variant, label.title, label.seed_name) == (base, variant, title, seed_name)
    assert re.fullmatch(slug, label.slug)
    registry = PROBLEMS if not label.is_reference else METHODS
    assert check_label(registry, text) == text


def test_different_labels_have_different_slugs_and_one_file_has_one():
    texts = ["a/m.py:D", "b/m.py:D", "m.py:D", "m:D", "n.m:D", "m:D@v", "billiards"]
    slugs = {Label(text).slug for text in texts}
    assert len(slugs) == len(texts)
    assert all(re.fullmatch(r"[\w.@-]+", slug) for slug in slugs)
    assert Label("./m.py:D").slug == Label("m.py:D").slug
    assert Label("../../m.py:D").slug.startswith("m.D-")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("damped.py", r"damped\.py:Damped|damped\.py:Class"),
        ("folder/damped:Damped", "ending in .py"),
        ("damped:", "name of a class"),
        (":Damped", "module:Class"),
        ("my-module:Damped", "module:Class"),
        ("damped:Damped()", "name of a class"),
        ("damped:Damped@", "@variant"),
        ("damped:Damped@../up", "@variant"),
        ("billiards@Hits", "@variant"),
        ("billiard", "did you mean 'billiards'"),
    ],
)
def test_a_malformed_label_is_refused(text, says):
    with pytest.raises(ArgumentError, match=f"problem: .*{says}"):
        check_label(PROBLEMS, text)


def test_own_problems_come_after_those_of_the_registry():
    assert in_order(PROBLEMS, ["a:B", "billiards@x", "wave-packet", "billiards"]) == [
        "wave-packet",
        "billiards",
        "billiards@x",
        "a:B",
    ]
