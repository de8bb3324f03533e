"""How facts are kept, delivered and replayed. `run` optimises a task from Python; plugins import `gome.kernel.plugin`.

Names are resolved on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gome.kernel.api import Result, run

__all__ = ["Result", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from gome.kernel import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
