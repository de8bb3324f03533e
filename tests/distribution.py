"""A stranger's distribution that nobody built: a folder that importlib.metadata takes for an installed one once it is
on the path. The example package that pip really installs is in `tests/examples`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, points: Mapping[str, Mapping[str, str]], *, version: str = "1.0") -> None:
    """Make a distribution of a folder, which may not exist yet; `points` are groups of entry points, by name."""
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in points.items()]
    (about / "entry_points.txt").write_text("\n".join(groups))
