"""`gome verify`: decide a recorded run again with today's plugins and compare every decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gome.events import PluginPin
from gome.kernel.cli.opening import complete, must_exist, over_run, reading
from gome.kernel.cli.output import emit, say
from gome.kernel.errors import Forbidden

if TYPE_CHECKING:
    from gome.kernel.connect import Connection
    from gome.kernel.replay import Verdict


@click.command("verify")
@over_run
@click.option("--all", "every", is_flag=True, help="Go on behind the first divergence (later ones may follow from it).")
@click.option("--substitute", "again", is_flag=True, help="Run it again with effects answered from the record.")
def verify(run: str, every: bool, again: bool, nats: str, as_json: bool) -> None:
    """Decide RUN (an id or an archive) again from its record and compare: ends with 4 where anything differs.

    With --substitute the run is run again: every record is written anew from today's decisions and recorded results,
    in recorded order and time, and must come out with the same bytes.
    """
    if again:
        _substitute(run, nats, as_json)
        return

    async def check() -> tuple[Verdict, int | None, list[str]]:
        async with reading(run, nats) as (connection, name):
            await must_exist(connection, name)
            return await _check(connection, name, every)

    verdict, grades, changed = complete(check)
    name = verdict.run
    if grades is None:
        say("(hidden grades were not checked: these credentials may not read the vault)")
    if as_json:
        told = [
            {"position": d.position, "decider": d.decider, "sentence": d.sentence(name)} for d in verdict.divergences
        ]
        emit(
            {
                "run": name,
                "verified": verdict.ok,
                "events": verdict.events,
                "commits": verdict.commits,
                "decisions": verdict.decisions,
                "unanswered": verdict.unanswered,
                "finished": verdict.finished,
                "grades": grades,
                "changed": changed,
                "divergences": told,
            }
        )
    else:
        _print(verdict, grades, changed)
    if not verdict.ok:
        raise SystemExit(4)


def _substitute(run: str, nats: str, as_json: bool) -> None:
    from gome.kernel.discovery import codec_for
    from gome.kernel.start import first_event, plugins_of
    from gome.kernel.substitute import Substitution, substitute

    async def again() -> Substitution:
        async with reading(run, nats) as (connection, name):
            await must_exist(connection, name)
            started = await first_event(connection, name)
            assert started is not None
            plugins = plugins_of(started)
            log, texts = connection.log, connection.artifacts.text
            return await substitute(log.read(name), name, codec_for(plugins), plugins, texts)

    done = complete(again)
    told = {"records": done.records, "decisions": done.decisions, "answers": done.answers, "hash": done.state.head.hash}
    if as_json:
        emit({"run": done.state.run, "identical": True, **told})
    else:
        print(
            f"identical: {done.records:,} records written again, {done.decisions:,} decisions taken, {done.answers:,} "
            f"effects answered from the record; head {done.state.head.hash[:16]}"
        )


async def _check(connection: Connection, run: str, every: bool) -> tuple[Verdict, int | None, list[str]]:
    """The verdict, the number of hidden grades whose chain was checked (None: we may not read them), and plugins that
    differ from their pins."""
    from gome.kernel.discovery import codec_for, pin
    from gome.kernel.replay import Verifier
    from gome.kernel.start import first_event, plugins_of

    started = await first_event(connection, run)
    assert started is not None
    plugins = plugins_of(started)
    verifier = Verifier(
        run, codec_for(plugins), plugins, connection.artifacts.text, connection.artifacts, stop_at_first=not every
    )
    verdict = await verifier.run(connection.log.read(run))
    grades: int | None = 0
    try:
        if (await connection.vault.head(run)).seq:
            grades = sum([sealed.body.n async for sealed in connection.vault.read(run)])
    except Forbidden:
        grades = None
    pinned: dict[str, PluginPin] = {p.name: p for p in verifier.state.pins or started.plugins}
    today = [pin(p) for p in plugins]
    changed = [p.name for p in today if p.name in pinned and pinned[p.name].digest != p.digest]
    return verdict, grades, changed


def _print(verdict: Verdict, grades: int | None, changed: list[str]) -> None:
    for divergence in verdict.divergences:
        say(f"gome: {divergence.sentence(verdict.run)}")
    if changed and verdict.divergences:
        say(f"gome: code has changed since it was recorded: {', '.join(changed)}; `gome show` lists the versions")
    if verdict.divergences:
        return
    tail = "finished" if verdict.finished else "open"
    if verdict.unanswered and not verdict.finished:
        tail += f", {verdict.unanswered} answers due"
    counts = f"{verdict.events:,} events in {verdict.commits:,} commits, {verdict.decisions:,} decisions"
    print(f"verified: {counts}" + (f", {grades} hidden grades" if grades else "") + f"; {tail}")
    if changed:
        say(f"(decided the same way by other code than recorded: {', '.join(changed)})")
