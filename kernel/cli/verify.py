"""`gome verify`: decide a recorded run again with today's plugins and compare every decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gome.events import PluginPin
from gome.kernel.cli.opening import complete, must_exist, opened, over_run
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
    """Decide RUN again from its record and compare: ends with 4 where a decision, a record or an artifact differs.

    With --substitute the run is run again: every record is written anew from today's decisions and recorded results,
    in recorded order and time, and must come out with the same bytes.
    """
    if again:
        _substitute(run, nats, as_json)
        return

    async def check() -> tuple[Verdict, int | None, list[str], str]:
        async with opened(nats) as connection:
            await must_exist(connection, run)
            return await _check(connection, run, every)

    verdict, grades, changed, origin = complete(check)
    if grades is None:
        say("(hidden grades were not checked: these credentials may not read the vault)")
    if as_json:
        told = [
            {"position": d.position, "decider": d.decider, "sentence": d.sentence(run)} for d in verdict.divergences
        ]
        emit(
            {
                "run": run,
                "verified": verdict.ok,
                "events": verdict.events,
                "commits": verdict.commits,
                "decisions": verdict.decisions,
                "unanswered": verdict.unanswered,
                "finished": verdict.finished,
                "grades": grades,
                "changed": changed,
                "origin": origin,
                "divergences": told,
            }
        )
    else:
        _print(run, verdict, grades, changed, origin)
    if not verdict.ok:
        raise SystemExit(4)


def _substitute(run: str, nats: str, as_json: bool) -> None:
    from gome.kernel.discovery import codec_for
    from gome.kernel.fork import descent
    from gome.kernel.start import plugins_of
    from gome.kernel.substitute import Substitution, substitute

    async def again() -> Substitution:
        async with opened(nats) as connection:
            await must_exist(connection, run)
            log, texts = connection.log, connection.artifacts.text
            origin = await descent(log, run)
            plugins = plugins_of(origin.started)
            codec = codec_for(plugins)
            return await substitute(log.read(run), run, codec, plugins, texts, joined=origin.joined)

    done = complete(again)
    told = {"records": done.records, "decisions": done.decisions, "answers": done.answers, "hash": done.state.head.hash}
    if as_json:
        emit({"run": run, "identical": True, **told})
    else:
        print(
            f"identical: {done.records:,} records written again, {done.decisions:,} decisions taken, {done.answers:,} "
            f"effects answered from the record; head {done.state.head.hash[:16]}"
        )


async def _check(connection: Connection, run: str, every: bool) -> tuple[Verdict, int | None, list[str], str]:
    """The verdict, the number of hidden grades whose chain was checked (None: we may not read them), plugins that
    differ from their pins, and where a fork comes from."""
    from gome.kernel.discovery import pin
    from gome.kernel.forking import verifier_of
    from gome.kernel.results import origin_of

    log, store = connection.log, connection.artifacts
    verifier = await verifier_of(log, run, store.text, store, stop_at_first=not every)
    verdict = await verifier.run(connection.log.read(run))
    grades: int | None = 0
    try:
        if (await connection.vault.head(run)).seq:
            grades = sum([sealed.body.n async for sealed in connection.vault.read(run)])
    except Forbidden:
        grades = None
    started = verifier.state.started
    pinned: dict[str, PluginPin] = {p.name: p for p in verifier.state.pins or (started.plugins if started else ())}
    today = [pin(c.plugin) for c in verifier.state.cursors]
    changed = [p.name for p in today if p.name in pinned and pinned[p.name].digest != p.digest]
    return verdict, grades, changed, origin_of(verifier.state.trajectory)


def _print(run: str, verdict: Verdict, grades: int | None, changed: list[str], origin: str) -> None:
    for divergence in verdict.divergences:
        say(f"gome: {divergence.sentence(run)}")
    if changed and verdict.divergences:
        say(f"gome: code has changed since it was recorded: {', '.join(changed)}; `gome show {run}` lists the versions")
    if verdict.divergences:
        return
    tail = "finished" if verdict.finished else "open"
    if verdict.unanswered and not verdict.finished:
        tail += f", {verdict.unanswered} answers due"
    counts = f"{verdict.events:,} events in {verdict.commits:,} commits, {verdict.decisions:,} decisions"
    print(f"verified: {counts}" + (f", {grades} hidden grades" if grades else "") + f"; {tail}")
    if origin:
        print(f"  {origin}")
    if changed:
        say(f"(decided the same way by other code than recorded: {', '.join(changed)})")
