"""How the tests are spread over processes when there are several (`make test` uses two).

The grouping is done here and not by xdist's own `loadgroup`: that writes the group into a test's
private name, which pytest 9.2 no longer reads, and so spreads single tests without a word.
"""

from __future__ import annotations

from typing import Any

import pytest

ON_RAY = "tests/ray/"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests on Ray: they take the longest by far and must not end last and alone."""
    items.sort(key=lambda item: not item.nodeid.startswith(ON_RAY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep what shares a fixture together: all tests on Ray in one process, others by file."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Sharing(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return ON_RAY if nodeid.startswith(ON_RAY) else str(super()._split_scope(nodeid))

    return Sharing(config, log)
