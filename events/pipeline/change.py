"""From a parent's specification and a hypothesis' change to a new pipeline, or a readable `ValueError`.

A change is either `{"pipeline": {…whole…}}` or any of these keys, carried out in this order:

    "edit":    one edit or a list. {"member": which, "set": {partial member}, "add_features": [ops],
               "drop_features": [op names]}; which = index, "all" (default) or a family's name (all its members). A
               partial model without `family`, or with the same one, keeps the other hyper-parameters; another family
               starts from its defaults (and its default encoding). A partial encoding keeps the other fields too.
    "remove":  list of member indices (as numbered in the parent)
    "members": a whole list of members, instead of the parent's
    "add":     list of members to append
    "blend":   partial blend; without it a pipeline that grows to several members is blended by "weights"
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gome.events.pipeline.models import FAMILIES
from gome.events.pipeline.spec import Pipeline, default_encoding, lean, read_pipeline, to_spec

_CHANGES = ("edit", "remove", "members", "add", "blend")
_EDITS = ("member", "set", "add_features", "drop_features")


def apply_change(parent: dict[str, Any], change: dict[str, Any]) -> Pipeline:
    """Return the normal form of a parent's specification (empty: none) after a change (see the module's docstring).

    ValueError, readable, for anything outside the vocabulary and for a change that changes nothing.
    """
    if not isinstance(change, dict) or not change:
        raise ValueError("the change is empty: give {'pipeline': …} or some of " + ", ".join(_CHANGES))
    if "pipeline" in change:
        if len(change) > 1:
            raise ValueError("a whole 'pipeline' stands alone; drop " + ", ".join(sorted(set(change) - {"pipeline"})))
        if not isinstance(change["pipeline"], dict):
            raise ValueError("'pipeline' must be an object with 'members' and 'blend'")
        return read_pipeline(change["pipeline"])
    if unknown := sorted(set(change) - set(_CHANGES)):
        raise ValueError(f"unknown change {', '.join(unknown)}; a change may have {', '.join(_CHANGES)} or 'pipeline'")
    if not parent and "members" not in change and "add" not in change:
        raise ValueError("there is no parent pipeline to change; give a whole 'pipeline'")
    before = read_pipeline(parent) if parent else None
    base: dict[str, Any] = to_spec(before) if before else {"members": []}
    members = [_plain(m, "a member") for m in base.get("members", [{}])]
    for edit in _list(change.get("edit", []), "edit"):
        _apply_edit(members, edit)
    gone = set()
    for index in _list(change.get("remove", []), "remove"):
        gone.add(_index(index, len(members)))
    members = [m for i, m in enumerate(members) if i not in gone]
    if "members" in change:
        members = _list(change["members"], "members")
    members += _list(change.get("add", []), "add")
    if not members:
        raise ValueError("no member is left: a pipeline needs at least one")
    blend = {**base.get("blend", {}), **_plain(change.get("blend", {}), "blend")}
    after = read_pipeline({"members": members, "blend": blend})
    if after == before:
        raise ValueError("the change changes nothing: the pipeline is already like that")
    return after


def _apply_edit(members: list[dict[str, Any]], edit: Any) -> None:
    edit = _plain(edit, "edit")
    if unknown := sorted(set(edit) - set(_EDITS)):
        raise ValueError(f"unknown part of an edit: {', '.join(unknown)}; it may have {', '.join(_EDITS)}")
    which = edit.get("member", "all")
    chosen = _chosen(members, which)
    for index in chosen:
        member = dict(members[index])
        before = member["model"]["family"]
        wanted = _plain(edit.get("set", {}), "set")
        encoding = wanted.pop("encoding", {})
        for name, value in wanted.items():
            old = member.get(name)
            if name == "model":
                value = _plain(value, "model")
                current = (old or {}).get("family", "booster")
                if value.get("family", current) == current:
                    value = {"family": current, **(old or {}), **value}
                member[name] = value
            else:
                member[name] = value
        after = str(member.get("model", {}).get("family", "booster"))
        if after != before and after in FAMILIES:
            member["encoding"] = lean(default_encoding(after))
        if encoding is not None:
            member["encoding"] = {**member["encoding"], **_plain(encoding, "encoding")}
        steps = list(member.get("features", []))
        unwanted = set(_list(edit.get("drop_features", []), "drop_features"))
        steps = [s for s in steps if s.get("op") not in unwanted]
        steps += _list(edit.get("add_features", []), "add_features")
        member["features"] = steps
        members[index] = member


def _chosen(members: Sequence[dict[str, Any]], which: Any) -> list[int]:
    if which == "all":
        return list(range(len(members)))
    if isinstance(which, str):
        found = [i for i, m in enumerate(members) if m.get("model", {}).get("family", "booster") == which]
        if not found:
            raise ValueError(f"no member of family {which!r} to edit")
        return found
    return [_index(which, len(members))]


def _index(value: Any, count: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -count <= value < count:
        raise ValueError(f"no member {value!r}: the pipeline has {count}, numbered from 0")
    return value % count


def _plain(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object, not {type(value).__name__}")
    return dict(value)


def _list(value: Any, what: str) -> list[Any]:
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{what} must be a list, not {type(value).__name__}")
    return list(value)
