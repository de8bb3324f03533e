"""`gome verify`: decide recorded runs again with today's plugins and compare every decision."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from gome.kernel.cli.opening import complete, json_option, must_exist, nats_option, reading, whole
from gome.kernel.cli.output import emit, say
from gome.kernel.errors import UsageError

if TYPE_CHECKING:
    from gome.kernel.substitute import Substitution
    from gome.kernel.verifying import Outcome


@click.command("verify")
@click.argument("run", default="")
@click.option("--all", "every_run", is_flag=True, help="Every run of the log (or of the archive RUN).")
@click.option("--report", is_flag=True, help="Go on behind a run's first divergence (later ones may follow from it).")
@click.option("--substitute", "again", is_flag=True, help="Run it again with effects answered from the record.")
@nats_option
@json_option
def verify(run: str, every_run: bool, report: bool, again: bool, nats: str, as_json: bool) -> None:
    """Decide RUN again from its record and compare: ends with 4 where a decision, a record or an artifact differs.

    With --all every run is verified, a line each, side by side on all cores. With --substitute the run is run again:
    every record is written anew from today's decisions and recorded results, in recorded order and time, and must come
    out with the same bytes.
    """
    if not run and not every_run:
        raise UsageError("name a run (`gome runs` lists them), an archive, or --all")
    if again and (every_run or report):
        raise UsageError("--substitute writes one run again and ends where it differs; leave out --all and --report")
    if again:
        _substitute(run, nats, as_json)
    elif every_run:
        _all(run, nats, report, as_json)
    else:
        _one(run, nats, report, as_json)


def _one(run: str, nats: str, report: bool, as_json: bool) -> None:
    async def check() -> Outcome:
        from gome.kernel.verifying import Desk

        async with reading(run, nats) as (connection, name):
            await must_exist(connection, name)
            return await Desk(connection, every=report).verify(name)

    found = complete(check)
    if found.grades is None:
        say("(hidden grades were not checked: these credentials may not read the vault)")
    if as_json:
        emit(as_line(found))
    else:
        _print(found)
    if not found.ok:
        raise SystemExit(4)


def as_line(found: Outcome) -> dict[str, object]:
    """An outcome for machines."""
    from msgspec import to_builtins

    facts: dict[str, object] = to_builtins(found)
    del facts["exit_code"]
    return {"run": facts.pop("run"), "verified": found.ok, **facts}


def _print(found: Outcome) -> None:
    for divergence in found.divergences:
        say(f"gome: {divergence.sentence}")
    if found.changed and found.divergences:
        changed = ", ".join(found.changed)
        say(f"gome: code has changed since it was recorded: {changed}; `gome show {found.run}` lists the versions")
    if found.divergences:
        return
    print(f"verified: {counts(found)}")
    if found.origin:
        print(f"  {found.origin}")
    if found.changed:
        say(f"(decided the same way by other code than recorded: {', '.join(found.changed)})")


def counts(found: Outcome) -> str:
    """What was verified, in words."""
    said = f"{found.events:,} events in {found.commits:,} commits, "
    said += "imported, which carry no decisions" if found.imported else f"{found.decisions:,} decisions"
    if found.grades:
        said += f", {found.grades} hidden grades"
    tail = "finished" if found.finished else "open"
    if found.unanswered and not found.finished:
        tail += f", {found.unanswered} answers due"
    return f"{said}; {tail}"


def _all(run: str, nats: str, report: bool, as_json: bool) -> None:
    """Verify every run, with a line for each and a sum."""

    async def check() -> int:
        from gome.kernel.verifying import verify_all

        tally = _Tally(as_json)
        opening = partial(whole, run, nats)
        async with opening() as connection:
            async for found in verify_all(connection, opening, every=report):
                tally.add(found)
        return tally.end()

    if code := complete(check):
        raise SystemExit(code)


class _Tally:
    """Counts outcomes while it prints them."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.runs = self.verified = self.diverged = self.unread = self.open = self.imported = self.events = 0
        self.code = 0

    def add(self, found: Outcome) -> None:
        """Print a line about one run."""
        self.runs += 1
        self.verified += found.ok
        self.diverged += bool(found.divergences)
        self.unread += bool(found.error)
        self.open += found.ok and not found.finished
        self.imported += found.ok and found.imported
        self.events += found.events
        if found.divergences:
            self.code = 4
        elif found.error and self.code != 4:
            self.code = found.exit_code
        if self.as_json:
            emit(as_line(found))
        elif found.ok:
            note = f" (by other code than recorded: {', '.join(found.changed)})" if found.changed else ""
            print(f"{found.run}  verified: {counts(found)}{note}", flush=True)
        elif found.error:
            print(f"{found.run}  not verified: {found.error}", flush=True)
        else:
            for divergence in found.divergences:
                print(f"{found.run}  diverged: {divergence.sentence}", flush=True)

    def end(self) -> int:
        """Print the sum; returns the exit code."""
        facts = {
            "runs": self.runs,
            "verified": self.verified,
            "diverged": self.diverged,
            "not_verified": self.unread,
            "open": self.open,
            "imported": self.imported,
            "events": self.events,
        }
        if self.as_json:
            emit({"summary": facts})
            return self.code
        said = [f"{self.verified:,} of {self.runs:,} runs verified", f"{self.events:,} events"]
        said += [f"{self.diverged:,} diverged"] if self.diverged else []
        said += [f"{self.unread:,} could not be verified"] if self.unread else []
        said += [f"{self.open:,} still open"] if self.open else []
        said += [f"{self.imported:,} imported"] if self.imported else []
        say(", ".join(said))
        return self.code


def _substitute(run: str, nats: str, as_json: bool) -> None:
    from gome.kernel.discovery import codec_for
    from gome.kernel.fork import descent
    from gome.kernel.start import plugins_of
    from gome.kernel.substitute import substitute

    async def again() -> Substitution:
        async with reading(run, nats) as (connection, name):
            await must_exist(connection, name)
            found = await descent(connection.log, name)
            plugins = plugins_of(found.started)
            log, texts = connection.log, connection.artifacts.text
            return await substitute(log.read(name), name, codec_for(plugins), plugins, texts, joined=found.joined)

    done = complete(again)
    told = {"records": done.records, "decisions": done.decisions, "answers": done.answers, "hash": done.state.head.hash}
    if as_json:
        emit({"run": done.state.run, "identical": True, **told})
    else:
        print(
            f"identical: {done.records:,} records written again, {done.decisions:,} decisions taken, {done.answers:,} "
            f"effects answered from the record; head {done.state.head.hash[:16]}"
        )
