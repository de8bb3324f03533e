"""May this program run, and how? Where no sandbox can be made only rendered programs run, and everybody is told.

A request may call a program trusted, but that claim is checked against the log: some attempt of this run must have
been given exactly this program, marked trusted by the same renderer, and the run must have pinned a mutator that can
have rendered it. A model-written or imported program is refused there unless the run was started with `--unsafe`.
"""

from __future__ import annotations

from gome.events import ExecutionRequested, Text
from gome.kernel.errors import SandboxUnavailable
from gome.kernel.plugin import Context
from gome.plugins.runner.sandbox import seccomp
from gome.plugins.runner.sandbox.probe import SandboxReport

_noticed: set[str] = set()


def vouched_for(intent: ExecutionRequested, ctx: Context) -> bool:
    """Whether the log bears out that the program was rendered from a closed vocabulary, not written by a model."""
    if not intent.trusted or not any(pin.role == "mutator" for pin in ctx.started.plugins):
        return False
    attempts = [*ctx.trajectory.attempts.values(), *([ctx.trajectory.baseline] if ctx.trajectory.baseline else [])]
    # Of the text that would run, whatever digest comes with it.
    digest = Text.of(str(intent.program)).digest
    return any(
        a.code is not None and a.code.trusted and a.code.renderer == intent.renderer and a.code.program.digest == digest
        for a in attempts
    )


def permit(intent: ExecutionRequested, ctx: Context, report: SandboxReport) -> None:
    """Let a program run without a sandbox, with one notice per run, or raise SandboxUnavailable."""
    if report.kind != "none":
        return
    if ctx.unsafe or vouched_for(intent, ctx):
        if ctx.run not in _noticed:
            _noticed.add(ctx.run)
            network = " and use the network" if seccomp.problem() else ""
            ctx.log.warning(
                f"programs run WITHOUT a sandbox: they can read your files{network}",
                why=report.detail,
                advice=report.advice,
                allowed_because="--unsafe" if ctx.unsafe else "all of them were rendered by a pinned mutator",
            )
        return
    raise SandboxUnavailable(
        f"the program of attempt {intent.attempt} was not rendered by a mutator of this run, so it needs a sandbox, "
        f"and none can be made here ({report.detail}). Try: {report.advice}. `gome doctor` checks it; `--unsafe` does "
        "without."
    )
