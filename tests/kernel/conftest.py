"""What tests of the kernel share: plugins that are installed for as long as a module's tests run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel import recorded


@pytest.fixture(scope="module")
def toys_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The toys of `tests.kernel.recorded`, found through their entry points."""
    with recorded.installed(tmp_path_factory.mktemp("site")):
        yield
