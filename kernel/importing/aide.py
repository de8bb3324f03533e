"""Reads a journal of AIDE (`journal.json`), and of the tree searches that descend from it, as a traces file.

A node is one attempt: its plan is the hypothesis, its analysis the observations, `node2parent` says what it builds on.
AIDE accepts nothing, it goes on from the best node there is; so a node counts as accepted when it ended well and its
metric beats that of the nearest ancestor which did. Everything a node says is kept verbatim. A journal that breaks off
has lost its map of parents, which stands behind the nodes: what it holds is then read without parents, and a whole copy
is another run.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gome.kernel.errors import UsageError
from gome.kernel.importing.converted import Converted, named, plain
from gome.kernel.importing.fields import Unreadable, number_of, parse, words, yes_or_no
from gome.kernel.importing.scan import Damage, Members, members_of, skip_space, skip_value

JOURNAL = "journal.json"
CONFIG = "config.yaml"
MOST = 1 << 30
"""Bytes of a journal at most; it is held in memory."""
_HEAD = re.compile(rb'\s*\{\s*"(?:nodes|node2parent|__version)"\s*:')
_SETTING = r"(?m)^{name}:[ \t]*(?:'([^'\n]*)'|\"([^\"\n]*)\"|([^\s#'\"|>][^\n#]*))"


@dataclass
class Node:
    """A node: its bytes, its values ({} where it is no object that can be read), its id ("" for none), its parent's
    index (-1: none), and its metric where it ended well. `broken` says that its bytes are no JSON."""

    raw: bytes
    values: dict[str, Any]
    broken: bool = False
    id: str = ""
    parent: int = -1
    metric: float | None = None
    problem: str = ""


def journal_of(path: Path) -> Path | None:
    """The journal that a path means, by its beginning: the file itself, or `journal.json` in the folder; None for
    anything else."""
    file = path / JOURNAL if path.is_dir() else path
    try:
        with open(file, "rb") as data:
            head = data.read(4096)
    except OSError:
        return None
    return file if _HEAD.match(head.removeprefix(b"\xef\xbb\xbf")) else None


def read_journal(file: Path) -> Converted:
    """Read a journal, and the settings beside it. Raises `UsageError` when it cannot be read at all."""
    try:
        if file.stat().st_size > MOST:
            raise UsageError(f"{file} has more than {MOST >> 20} MiB, which no journal has")
        data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
        beside = file.with_name(CONFIG)
        config = beside.read_text("utf-8", "replace") if beside.is_file() else ""
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    where = file.resolve()
    name = named(_setting(config, "exp_name"), where.parent.name if file.name == JOURNAL else "", where.stem)
    found = Converted("aide", name)
    raws, rest = _parts(data, found)
    nodes = []
    for number, (begin, raw) in enumerate(raws):
        nodes.append(_node(raw))
        if nodes[-1].broken:
            found.faults.append(f"node {number}, at byte {begin:,}: {nodes[-1].problem}; its bytes are kept")
    _parents(nodes, rest, found)
    greater = _direction(nodes)
    if greater is None:
        found.notices.append("no node says which way its metric is better; smaller is taken to be")
    found.scenario = _scenario(config, greater)
    found.rest = [(key, raw.decode("utf-8", "replace")) for key, raw in rest]
    for number, node in enumerate(nodes):
        if node.problem and not node.broken:
            found.problems.append(f"node {number}: {node.problem}")
        found.loops[number] = _loop(node, nodes, greater)
    return found


def _parts(data: bytes, found: Converted) -> tuple[list[tuple[int, bytes]], list[tuple[str, bytes]]]:
    """Place and bytes of the nodes, and the other members, up to where the journal breaks off."""
    nodes: list[tuple[int, bytes]] = []
    rest: list[tuple[str, bytes]] = []
    try:
        members = Members(data, 0)
        while (member := members.next()) is not None:
            key, begin = member
            if key == "nodes" and data[begin : begin + 1] == b"[":
                members.at = _elements(data, begin, nodes)
            else:
                members.at = skip_value(data, begin)
                rest.append((key, data[begin : members.at]))
        if (end := skip_space(data, members.at)) < len(data):
            found.damage.append(f"at byte {end:,}: something follows the end of the journal")
    except Damage as damage:
        found.damage.append(str(damage))
    return nodes, rest


def _elements(data: bytes, begin: int, nodes: list[tuple[int, bytes]]) -> int:
    """Collect an array's elements; returns the place behind it. Those before damage are collected all the same."""
    at = skip_space(data, begin + 1)
    if data[at : at + 1] == b"]":
        return at + 1
    while True:
        end = skip_value(data, at)
        nodes.append((at, data[at:end]))
        at = skip_space(data, end)
        if data[at : at + 1] == b"]":
            return at + 1
        if data[at : at + 1] != b",":
            raise Damage(at, "the file ends inside the nodes" if at >= len(data) else "',' or ']' should be here")
        at = skip_space(data, at + 1)


def _node(raw: bytes) -> Node:
    try:
        raw.decode()
        values = parse(raw)
    except UnicodeDecodeError as error:
        return Node(raw, {}, broken=True, problem=f"byte {error.start:,} of it is no UTF-8")
    except Unreadable as error:
        return Node(raw, {}, broken=True, problem=str(error))
    if not isinstance(values, dict):
        return Node(raw, {}, problem="it is no object")
    id = values.get("id")
    node = Node(raw, values, id=str(id) if isinstance(id, str | int) else "")
    if not _buggy(values):
        metric = values.get("metric", values.get("metric_value"))
        node.metric = number_of(metric.get("value") if isinstance(metric, dict) else metric)
    return node


def _buggy(values: dict[str, Any]) -> bool:
    said = yes_or_no(values.get("is_buggy"))
    return bool(values.get("exc_type")) if said is None else said


def _parents(nodes: list[Node], rest: list[tuple[str, bytes]], found: Converted) -> None:
    """Say of each node which earlier one it builds on: by the map, else by what it says itself."""
    table: Any = None
    for key, raw in rest:
        if key == "node2parent":
            try:
                table = parse(raw)
            except Unreadable as error:
                found.problems.append(f"node2parent cannot be read: {error}")
    if not isinstance(table, dict):
        found.notices.append("the journal has no map of parents (node2parent): only what nodes say themselves is known")
        table = {}
    index: dict[str, int] = {}
    for number, node in enumerate(nodes):
        own = node.values.get("parent", node.values.get("parent_id"))
        own = own.get("id") if isinstance(own, dict) else own
        parent = table.get(node.id, own)
        if parent is not None and str(parent) not in index:
            node.problem = node.problem or f"its parent {words(parent, 60)} is no earlier node"
        elif parent is not None:
            node.parent = index[str(parent)]
        if node.id and node.id in index:
            node.problem = node.problem or f"the id {words(node.id, 60)} is there twice"
        elif node.id:
            index[node.id] = number


def _direction(nodes: list[Node]) -> bool | None:
    """Whether larger is better: what the first node that says so says, as the reviewer is asked anew for every node."""
    for node in nodes:
        metric = node.values.get("metric")
        said = metric.get("maximize") if isinstance(metric, dict) else None
        said = node.values.get("maximize") if said is None else said
        if (known := yes_or_no(said)) is not None:
            return known
    return None


def _setting(config: str, name: str) -> str:
    """A plain value of the settings' first level; they are no more than text here."""
    match = re.search(_SETTING.format(name=name), config)
    value = next((g for g in match.groups() if g is not None), "").strip() if match else ""
    return "" if value in ("null", "~") else value


def _scenario(config: str, greater: bool | None) -> dict[str, Any]:
    scenario: dict[str, Any] = {
        "metric_name": _setting(config, "eval") or "metric",
        "metric_direction": bool(greater),
    }
    if goal := _setting(config, "goal"):
        scenario["background"] = goal
    return {**scenario, "config": config} if config else scenario


def _loop(node: Node, nodes: list[Node], greater: bool | None) -> bytes:
    """A node as an iteration of a traces file, with all it says beside the program under `node`."""
    values = node.values
    before = node.parent
    while before >= 0 and nodes[before].metric is None:
        before = nodes[before].parent
    reference = nodes[before].metric if before >= 0 else None
    accepted, reason = _accepted(node, reference, greater)
    fields: dict[str, Any] = {"feedback": {"decision": accepted, "reason": reason}}
    if observed := words(values.get("analysis")):
        fields["feedback"]["observations"] = observed
    if error := words(values.get("exc_type"), 200):
        info = values.get("exc_info")
        about = info.get("args", info) if isinstance(info, dict) else info
        about = about[0] if isinstance(about, list) and len(about) == 1 else about
        fields["feedback"]["exception"] = f"{error}: {words(about, 400)}" if about else error
    if plan := words(values.get("plan")):
        fields["final_hypothesis"] = {"hypothesis": plan}
    fields["valid_score"] = node.metric
    seconds = number_of(values.get("exec_time"))
    if seconds is not None:
        fields["running_time"] = seconds
    if node.parent >= 0:
        fields["parent_loop"] = f"loop_{node.parent}"
    if node.broken:
        return plain({**fields, "node_base64": base64.b64encode(node.raw).decode()})
    code = values.get("code")
    kept = node.raw
    if isinstance(code, str):
        fields["code"] = code
        kept = b"{" + b",".join(plain(k) + b":" + raw for k, raw in members_of(node.raw) if k != "code") + b"}"
    return plain(fields)[:-1] + b',"node":' + kept + b"}"


def _accepted(node: Node, reference: float | None, greater: bool | None) -> tuple[bool, str]:
    if node.metric is None:
        return False, "AIDE calls it buggy" if _buggy(node.values) else "it has no metric"
    if reference is None:
        return True, "the first of its branch that ended well"
    better = node.metric > reference if greater else node.metric < reference
    return better, f"its metric is {'' if better else 'not '}better than that of what it builds on"
