"""What the performers of one process share: its plugins, artifacts, cores, devices, spool and vault.

`start` furnishes one for a process that performs; `session` and `worker` give it to their performers. How an intent is
performed with it is the business of `effects`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gome.events import Commit, RunStarted, Task
from gome.kernel.plugin import Artifacts, Effect, FinishedRun, Plugin, VaultAccess, no_history
from gome.kernel.pools import CorePool, DevicePool
from gome.kernel.spool import Spool


@dataclass(frozen=True)
class Workshop:
    """What performers of one process share. `vault` opens hidden answers and grades of a run, for the scorer only;
    `history` reads the commits of any run of the log, for who answers completions; `elsewhere` tells the memory of a
    run on a task what other runs have learnt."""

    plugins: Sequence[Plugin]
    artifacts: Artifacts
    home: Path
    spool: Spool
    cores: CorePool
    vault: Callable[[str, str], VaultAccess]
    process: str
    history: Callable[[str], AsyncIterator[Commit]] = no_history
    unsafe: bool = False
    devices: DevicePool = field(default_factory=DevicePool)
    elsewhere: Callable[[str, Task], Awaitable[Sequence[FinishedRun]]] | None = None

    def prepare(self, started: RunStarted, here: Callable[[str], bool]) -> None:
        """Let the plugins of roles that are performed `here` begin what takes long to begin."""
        for plugin in self.plugins:
            if plugin.prepare is not None and here(plugin.role):
                plugin.prepare(started)

    def performer(self, kind: str, by: str = "") -> tuple[Plugin, Effect] | None:
        """The plugin that performs a kind of intent here: the one that asked (`by`) where it does so itself, since a
        role that can be handed over has two, else the first."""
        found = [(p, e) for p in self.plugins for e in p.effects if e.intent.__name__ == kind]
        return next((pair for pair in found if pair[0].name == by), found[0] if found else None)
