"""Problems with different constants are never taken for one another, and equal ones are recognised."""

from __future__ import annotations

import abc
import collections
import random
import re
import types

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.interpolate import CubicSpline

from kerasjoint import InverseProblem, ProblemSet, Unknown, minimize, wrap_numpy
from kerasjoint.fingerprint import data_fingerprint, problem_fingerprint

KNOTS = np.arange(5.0)
TABLE = {"shift": 1.0}
COUNTED = {"calls": 0}


class Slotted:
    __slots__ = ("height",)

    def __init__(self, height):
        self.height = height


class Plain(Slotted):
    pass


class Private:
    __slots__ = ("__dict__", "__height")

    def __init__(self, height):
        self.__height = height


MAKE = {
    "spline": lambda k: CubicSpline(KNOTS, k * (KNOTS + 1)),
    "bound method": lambda k: CubicSpline(KNOTS, k * (KNOTS + 1)).derivative,
    "slots below a dict": lambda k: Plain(k),
    "private slots": lambda k: Private(k),
    "deque": lambda k: collections.deque([k]),
    "mask": lambda k: np.ma.array([1, 2], mask=[k == 1, False]),
    "random": lambda k: random.Random(k),
    "frame": lambda k: pd.DataFrame({"a": [k, 2]}),
    "columns": lambda k: pd.DataFrame({f"a{k}": [1, 2]}),
    "series": lambda k: pd.Series([1, 2], index=[0, k]),
    "pattern": lambda k: re.compile(f"a{k}"),
}


@pytest.mark.parametrize("name", MAKE)
def test_equal_objects_are_equal_and_others_are_not(name):
    one, same, other = (data_fingerprint(MAKE[name](k)) for k in (1, 1, 2))
    assert one == same
    assert one != other


def test_wrapped_functions_are_told_apart_by_their_code(monkeypatch):
    found = []
    for rate in (1.0, 1.0, 2.0):
        # As a decorator: under its name in the module is the wrapper.
        monkeypatch.setitem(globals(), "decorated", wrap_numpy(lambda x, rate=rate: rate * x))
        decorated = globals()["decorated"]
        decorated.__qualname__, decorated.__module__ = "decorated", __name__
        found.append(data_fingerprint(decorated))
    assert found[0] == found[1] != found[2]


class OfSpline(InverseProblem):
    unknowns = (Unknown("a", lower=0.0, upper=5.0, guess=1.0),)

    def __init__(self, spline):
        self.spline = spline

    def forward(self, xi, x):
        return xi["a"][:, None] * tf.constant(self.spline.c[-1], xi["a"].dtype)[None]


def test_a_problem_with_another_spline_runs_its_own_code():
    sets = [ProblemSet(OfSpline(MAKE["spline"](k)), y=np.array([[2.0, 4, 6, 8]])) for k in (1, 3)]
    np.testing.assert_allclose([one.objective(np.array([[2.0]]))[0] for one in sets], [0, 480])


class Base(InverseProblem, abc.ABC):
    unknowns = (Unknown("a", scale=1.0),)

    @abc.abstractmethod
    def curve(self, a, t):
        """Leave it to subclasses."""

    def forward(self, xi, x):
        return self.curve(xi["a"][:, None], x["t"])


class Derived(Base):
    def curve(self, a, t):
        return a * t


def test_an_abstract_base_has_no_part_in_it():
    assert problem_fingerprint(Derived()) == problem_fingerprint(Derived())


def test_items_of_a_module_s_tables_are_seen(monkeypatch):
    def valley(x):
        return tf.reduce_sum((x - TABLE["shift"]) ** 2, 1)

    for shift in (3.0, 7.0):
        monkeypatch.setitem(TABLE, "shift", shift)
        found = minimize(valley, np.zeros((2, 1)), method="lockstep-lbfgs")
        np.testing.assert_allclose(found.x, shift, rtol=1e-6)


def test_what_a_function_counts_is_no_part_of_it(monkeypatch):
    def counting(x):
        COUNTED["calls"] += 1
        return x

    before = data_fingerprint(counting)
    monkeypatch.setitem(COUNTED, "calls", 5)
    assert data_fingerprint(counting) == before


@pytest.mark.parametrize("call", ["module.curve(x)", "curve(x)"])
def test_functions_and_constants_of_other_modules_of_the_user_are_seen(call):
    found = []
    for height in (1.0, 1.0, 2.0):
        module = types.ModuleType("curves")
        exec(f"HEIGHT = {height}\ndef curve(x):\n    return HEIGHT * x", vars(module))
        namespace = {"module": module, "curve": module.curve, "__name__": __name__}
        exec(f"def function(x):\n    return {call}", namespace)
        found.append(data_fingerprint(namespace["function"]))
    assert found[0] == found[1] != found[2]
