"""Thousands of malformed arguments and files: nothing but kerasjoint's own errors, at once and in bounded memory."""

from __future__ import annotations

import pytest
from attacks import ATTACKS, attack, peak_megabytes


@pytest.mark.parametrize("name", list(ATTACKS))
def test_what_is_malformed_is_refused(name):
    before = peak_megabytes()
    assert attack(name, ATTACKS[name][1], seed=0) == []
    assert peak_megabytes() - before < 500


def test_these_are_thousands():
    assert sum(count for _, count in ATTACKS.values()) >= 5000
