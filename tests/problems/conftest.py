from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _few_batch_sizes(few_batch_sizes: None) -> None:
    """Here the simulators are tested, which take longest to compile."""
