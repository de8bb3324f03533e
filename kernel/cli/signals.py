"""Ctrl-C and SIGTERM for verbs that drive a run: once is a request, twice an order.

`gome run` and `gome bench` listen here while they drive; services and workers, which drain, have their own way.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from gome.kernel.start import Launch


async def rest_on_signals(launch: Launch) -> None:
    """Listen until cancelled. The first signal lets the run come to rest, open; the second ends the process at once,
    with exit code 130."""
    count = 0
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            count += 1
            if count > 1:
                os._exit(130)
            launch.session.suspend("interrupted")
