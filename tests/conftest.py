"""What all tests share: one thread per process, no deadlines, asyncio as the only backend, a stranger's plugins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests run side by side, and so do the programs they start: threads that wait for each other spinning would take the
# cores from the rest. It must be said before anything that computes is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# How long an example takes says how busy the machine is. What else a profile says (CI's, for one) stays.
settings.register_profile("untimed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

EXAMPLES = Path(__file__).parent / "examples" / "gome-example-plugins"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs first: they take longest, much of it waiting, and must not be what is left at the end."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop of every `anyio` test."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _settings_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("GOME_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _diagnostics_of_nobody() -> Iterator[None]:
    """A command that ran in this process has sent diagnostics to the stream its test had captured, which is closed."""
    yield
    if "structlog" in sys.modules:
        sys.modules["structlog"].reset_defaults()


@pytest.fixture(scope="session")
def example_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the stranger's package; put it on PYTHONPATH, or use `examples`."""
    folder = tmp_path_factory.mktemp("examples")
    source, site = folder / "source", folder / "site"
    shutil.copytree(EXAMPLES, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Without isolation: the build uses the setuptools that is here, and nothing is fetched.
    command = [*pip, "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return site


@pytest.fixture
def examples(example_site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The stranger's plugins, installed: their entry points are found in this process and in those it starts."""
    monkeypatch.syspath_prepend(str(example_site))
    monkeypatch.setenv("PYTHONPATH", str(example_site))
    yield example_site
    for name in [n for n in sys.modules if n.startswith("gome_example_plugins")]:
        del sys.modules[name]
