"""`gome bench mle-bench-agent DIR`: writes the folder that MLE-bench runs gome from.

The contract (repository openai/mle-bench, commit 783b15a): `agents/NAME/` holds `config.yaml` with an entry per agent
id, a `Dockerfile` that starts from `mlebench-env` and takes four folders as build arguments, and `start.sh`, which is
started in the container by a user without rights. The image is called like the folder. gome's own source is copied
beside them as it is installed here, so that the image runs this very version.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from importlib import metadata, resources
from pathlib import Path

import click

from gome.kernel.cli.opening import FiniteRange
from gome.kernel.errors import UsageError

PACKAGES = ("gome.events", "gome.kernel", "gome.plugins")
"""Where gome's source lies."""
SECONDS = 86400
"""The benchmark's usual time for a competition."""
QUICK = 900
"""Seconds of the agent `NAME/dev`."""


def _config(name: str, seconds: int, model: str, base_url: str, key: str) -> str:
    """The text of config.yaml. Values are JSON, which is YAML, so that nothing in them is taken for syntax."""

    def entry(agent: str, limit: int, kwargs: dict[str, str], secrets: tuple[str, ...]) -> list[str]:
        lines = [
            f"{json.dumps(agent)}:",
            f"  start: {json.dumps(name + '/start.sh')}",
            f"  dockerfile: {json.dumps(name + '/Dockerfile')}",
            "  kwargs_type: argparse  # handed to start.sh as --key value: flags of gome run",
            f"  kwargs: {json.dumps(kwargs)}",
            "  env_vars:",
            f"    TIME_LIMIT_SECS: {json.dumps(str(limit))}",
        ]
        return [*lines, *(f"    {secret}: {json.dumps('${{ secrets.' + secret + ' }}')}" for secret in secrets)]

    lines = ["# gome as an agent of MLE-bench; this folder belongs under agents/.", ""]
    lines += [*entry(name, seconds, {}, ()), ""]
    lines += entry(f"{name}/dev", QUICK, {}, ())
    if model:
        kwargs = {"reasoner": "gome", "model": model, "fallback": "playbook"}
        if base_url:
            kwargs["base-url"] = base_url
        if key != "OPENAI_API_KEY":
            kwargs["set"] = f'openai.key_variable="{key}"'
        lines += ["", *entry(f"{name}/model", seconds, kwargs, (key,) if key else ())]
    return "\n".join(lines) + "\n"


def _requirements(dist: metadata.Distribution) -> list[str]:
    """What the installed gome requires, without extras."""
    return sorted(line for line in dist.requires or [] if "extra ==" not in line.replace("'", '"'))


def _pyproject(dist: metadata.Distribution, packages: list[str]) -> str:
    """A pyproject.toml that installs the copied packages, made from what the installed distribution says of itself."""
    groups: dict[str, list[metadata.EntryPoint]] = {}
    for entry in dist.entry_points:
        groups.setdefault(entry.group, []).append(entry)
    lines = [
        "[build-system]",
        'requires = ["setuptools>=77"]',
        'build-backend = "setuptools.build_meta"',
        "",
        "[project]",
        'name = "gome"',
        f"version = {json.dumps(dist.version)}",
        'requires-python = ">=3.11"',
        f"dependencies = {json.dumps(_requirements(dist))}",
    ]
    for group, entries in sorted(groups.items()):
        table = "project.scripts" if group == "console_scripts" else f'project.entry-points."{group}"'
        lines += ["", f"[{table}]", *(f"{json.dumps(e.name)} = {json.dumps(e.value)}" for e in entries)]
    lines += [
        "",
        "[tool.setuptools]",
        f"packages = {json.dumps(packages)}",
        "",
        "[tool.setuptools.package-data]",
        '"*" = ["**/*"]',
    ]
    return "\n".join(lines) + "\n"


def _copy_source(folder: Path) -> None:
    """Copy gome as it is installed here into a folder that pip can install from."""
    dist = metadata.distribution("gome")
    packages: list[str] = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(f"the source of {package} is not to be found; install gome again")
        target = folder.joinpath(*package.split("."))
        shutil.copytree(spec.submodule_search_locations[0], target, ignore=shutil.ignore_patterns("__pycache__"))
        packages += [".".join(path.parent.relative_to(folder).parts) for path in sorted(target.rglob("__init__.py"))]
    (folder / "pyproject.toml").write_text(_pyproject(dist, packages), encoding="utf-8")
    for file in dist.files or []:
        if file.name == "LICENSE":
            shutil.copyfile(str(dist.locate_file(file)), folder / "LICENSE")


def write(
    folder: Path, *, seconds: int = SECONDS, model: str = "", base_url: str = "", key: str = "OPENAI_API_KEY"
) -> list[str]:
    """Write the agent into `folder`, which must not be there or be empty; returns the ids of its agents.

    `UsageError` for a name that is no name of an image, and for a folder that holds something.
    """
    name = folder.resolve().name
    if not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", name):
        raise UsageError(f"{name!r} names the image, too: use small letters, digits and single . _ - between them")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already; name a new folder, or remove that one")
    (folder / "source").mkdir(parents=True)
    _copy_source(folder / "source")
    for file in ("Dockerfile", "start.sh"):
        text = resources.files(__package__).joinpath("files", file).read_text(encoding="utf-8")
        (folder / file).write_text(text, encoding="utf-8")
    (folder / "start.sh").chmod(0o755)
    needed = ["setuptools>=77", *_requirements(metadata.distribution("gome"))]
    (folder / "requirements.txt").write_text("\n".join(needed) + "\n", encoding="utf-8")
    (folder / "config.yaml").write_text(_config(name, seconds, model, base_url, key), encoding="utf-8")
    return [name, f"{name}/dev", *([f"{name}/model"] if model else [])]


@click.command("mle-bench-agent")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--hours", type=FiniteRange(0.25), default=SECONDS / 3600, metavar="H", help="Hours per competition.")
@click.option("--model", default="", metavar="NAME", help="Also an agent DIR/model whose reasoner asks this model.")
@click.option("--base-url", default="", metavar="URL", help="Where it is asked, as seen from the container.")
@click.option(
    "--key-variable",
    default="OPENAI_API_KEY",
    metavar="NAME",
    help="Variable on the host that holds the key; it is handed on as one of MLE-bench's secrets.",
)
def agent(folder: Path, hours: float, model: str, base_url: str, key_variable: str) -> None:
    """Write the folder that MLE-bench runs gome from: config.yaml, Dockerfile, start.sh, requirements.txt, source.

    DIR is named like the agent, e.g. mle-bench/agents/gome. Then, in mle-bench: docker build the image as
    agents/README.md says, and `python run_agent.py --agent-id gome --competition-set experiments/splits/low.txt`.
    """
    if base_url and not model:
        raise UsageError("--base-url says where --model is asked; name the model, too")
    try:
        ids = write(folder, seconds=int(hours * 3600), model=model, base_url=base_url, key=key_variable)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}; name another folder") from error
    click.echo(f"wrote {folder} with the agents {', '.join(ids)}")
    click.echo(
        f"next: build the image {folder.resolve().name} in mle-bench, then python run_agent.py --agent-id {ids[0]} …"
    )
