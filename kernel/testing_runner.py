"""The conformance kit for runners: tiny programs through a runner's `perform`, each a named check.

`conform_runner` is what an author of a runner calls in a test; it is handed on by `gome.kernel.testing`. The programs
use nothing but the standard library and take seconds altogether. The checks are in `testing_programs`,
`testing_limits`, `testing_again` and `testing_reach`, what they work with is in `testing_bench`. What a check is about
is the contract of the role in plugins/README.md; the pure half of a runner is `gome.kernel.testing.conform`'s business.
Needs Linux's /proc to see whether something of a program is still alive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio

from gome.events import ExecutionRequested
from gome.kernel.plugin import Check, Plugin
from gome.kernel.testing_again import AGAIN
from gome.kernel.testing_bench import Bench, Body
from gome.kernel.testing_limits import LIMITS
from gome.kernel.testing_programs import PROGRAMS
from gome.kernel.testing_reach import REACH

LONGEST = 120.0
"""Seconds after which a check has failed, whatever the runner does."""
CONTRACT: dict[str, Body] = PROGRAMS | LIMITS | AGAIN
"""What holds for every runner; `REACH` holds where programs are isolated."""


def conform_runner(
    plugin: Plugin, folder: Path, settings: dict[str, Any] | None = None, *, isolated: bool = True
) -> list[Check]:
    """Run the kit's programs through a runner and say of each whether the contract holds.

    `folder` is an empty folder for the kit's own home, `settings` the plugin's table. With `isolated=False`, for a
    runner that only limits, the checks of what a program can reach and start are left out and the runner is told that
    it may run what nobody vouches for. Returns the checks in order; raises AssertionError for a plugin that is no
    runner at all. Call it outside an event loop:

        assert not [check for check in conform_runner(plugin, tmp_path) if not check.ok]
    """
    performed = {effect.intent: effect for effect in plugin.effects}
    assert plugin.role == "runner", f"{plugin.name} has the role {plugin.role}"
    assert plugin.perform is not None and ExecutionRequested in performed, "it does not perform ExecutionRequested"
    assert performed[ExecutionRequested].policy == "reconcile", "an execution is reconciled after a crash, not repeated"
    bench = Bench(plugin, folder, settings or {}, unsafe=not isolated)
    return [_checked(bench, about, check) for about, check in (CONTRACT | (REACH if isolated else {})).items()]


def _checked(bench: Bench, about: str, check: Body) -> Check:
    async def in_time() -> None:
        with anyio.fail_after(LONGEST):
            await check(bench)

    try:
        anyio.run(in_time)
    except AssertionError as error:
        return Check(about, False, str(error) or "it does not hold", "see the contract of runners in plugins/README.md")
    except TimeoutError:
        return Check(about, False, f"it took more than {LONGEST:g} s", "an execution ends in time, whatever it does")
    except Exception as error:
        return Check(about, False, f"{type(error).__name__}: {error}", "a program's failure is a result, no exception")
    return Check(about, True, "as it should be")
