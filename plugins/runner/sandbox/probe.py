"""Can programs be isolated here, how, and if not, what to do about it? Tried for real, not guessed from versions.

`probe` makes a sandbox as an execution would and leaves it at once (about 50 ms); `perform.py` asks it once per
process. `check` says the same, with cgroups and devices, for `gome doctor`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gome.events import Limits
from gome.kernel.plugin import Check
from gome.plugins.runner.sandbox import cards, cgroup, devices, plan, seccomp, world
from gome.plugins.runner.sandbox.interpreter import interpreter
from gome.plugins.runner.sandbox.plan import Kind
from gome.plugins.runner.sandbox.processes import read_report
from gome.plugins.runner.sandbox.starting import LAUNCHER, zygote


@dataclass(frozen=True)
class SandboxReport:
    """What isolation this machine offers: the kind, what was found, what to do when it is `none`, and where cgroups can
    be made ("" when nowhere; then resident memory is watched instead, see `cgroup_problem`)."""

    kind: Kind
    detail: str
    advice: str = ""
    cgroup: str = ""
    cgroup_problem: str = ""


def probe(isolation: str = "auto", warm: bool = True) -> SandboxReport:
    """Find the best isolation; `isolation` restricts the search to one kind (`none`: as if there were none). For a
    `warm` start that is one without another executable, if it can be had."""
    found = cgroup.find()
    place = f"v{found.version}, {found.folder}" if isinstance(found, cgroup.Place) else ""
    kind, detail, advice = _isolation(isolation, warm)
    return SandboxReport(kind, detail, advice, place, "" if place else str(found))


@lru_cache(maxsize=8)
def _isolation(wanted: str, warm: bool) -> tuple[Kind, str, str]:
    if wanted == "none":
        return "none", "isolation is switched off in the settings", "set sandbox.isolation to auto"
    if not sys.platform.startswith("linux"):
        return "none", f"{sys.platform} has no namespaces", "run gome on Linux or in a Linux container"
    problems = []
    for kind in _candidates(wanted, warm):
        problem = attempt(kind)
        if not problem:
            return kind, _describe(kind), ""
        problems.append(f"{kind}: {problem}")
    return "none", "; ".join(problems) or "bubblewrap is not installed", _advice()


def _candidates(wanted: str, warm: bool) -> list[Kind]:
    """Kinds in order of preference: bubblewrap where present, but not where it is in the way. It cannot enclose a fork,
    so for a warm start it comes second; and it could map root's programs to root only, whom process limits do not
    bind."""
    kinds: list[Kind] = ["namespaces"]
    if not plan.privileged() and plan.bubblewrap_found()[0]:
        kinds.insert(1 if warm else 0, "bubblewrap")
    if wanted == "bubblewrap" and plan.bubblewrap_found()[0]:
        kinds = ["bubblewrap"]
    return [kind for kind in kinds if wanted in ("auto", kind)]


def attempt(kind: Kind) -> str:
    """Make a sandbox of a kind and leave it; return what went wrong, "" for nothing."""
    folder = Path(tempfile.mkdtemp(prefix="gome-probe-"))
    try:
        for name in ("box/input", "input", "etc", "root"):
            (folder / name).mkdir(parents=True)
        wanted = plan.enclosed(
            kind, folder, None, Limits(), hide=world.HIDDEN, home=folder / "home", python=interpreter()
        )
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), "outer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"LANG": "C.UTF-8"},
        )
        assert launcher.stdin and launcher.stderr
        with launcher, launcher.stdin:
            try:
                launcher.stdin.write(json.dumps(wanted).encode() + b"\n")
                launcher.stdin.flush()
                launcher.wait(timeout=10)
            except BrokenPipeError:
                pass  # it has ended already and said why
            except subprocess.TimeoutExpired:
                return "making a sandbox takes more than 10 s"
            facts = read_report(folder / "report")
            if "ready" not in facts:
                return str(facts.get("error") or launcher.stderr.read().decode("utf-8", "replace").strip()[-300:])
        unreadable = facts.get("unreadable") or []
        return f"programs may not read {', '.join(unreadable)}: let others read the interpreter" if unreadable else ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _describe(kind: Kind) -> str:
    if kind == "bubblewrap":
        return f"bubblewrap ({plan.bubblewrap_found()[0]})"
    if plan.privileged():
        return f"namespaces made directly, programs run as user {plan.outer_id()}"
    return "namespaces made directly through an unprivileged user namespace"


def _setting(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _advice() -> str:
    """The first obstacle that can be named, and how to remove it."""
    if _setting("/proc/sys/user/max_user_namespaces") == "0":
        return "allow user namespaces: sysctl -w user.max_user_namespaces=15000"
    if _setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1; or install bubblewrap"
    if _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "install bubblewrap (apt install bubblewrap) with its AppArmor profile, "
            "or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        return (
            "give the container the right to make namespaces: "
            "--cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
        )
    return "install bubblewrap (apt install bubblewrap, dnf install bubblewrap)"


def _warmth() -> Check:
    """Whether programs start warm, tried."""
    if problem := zygote.ready():
        return Check("warm start", False, f"programs start cold: {problem}", "look at the installed libraries")
    broken = "".join(f"; {name} does not import: {why}" for name, why in zygote.broken.items())
    return Check("warm start", not broken, f"libraries imported once, in {zygote.seconds:.1f} s{broken}")


def check() -> list[Check]:
    """Lines of `gome doctor`: sandbox, system calls, memory limit, devices."""
    report = probe()
    memory = f"cgroup {report.cgroup}" if report.cgroup else f"no cgroup: {report.cgroup_problem}"
    missing = seccomp.problem()
    return [
        Check("sandbox", report.kind != "none", report.detail, report.advice),
        _warmth(),
        Check("system calls", True, f"not filtered: {missing}" if missing else "filtered with seccomp"),
        Check("memory limit", True, f"resident memory is watched; {memory}"),
        Check("cpu", True, str(devices.machine())),
        *cards.checks(),
    ]
