"""How the tests are spread over processes when there are several (`make test` uses two)."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what shares a fixture together: all tests on Ray in one process, others by file."""
    for item in items:
        shared = "ray" if item.get_closest_marker("ray") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(shared))
