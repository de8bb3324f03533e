"""Diagnosis: what holds the present solution back, each challenge with its evidence in numbers and a weight.

Reads only `Facts`. A challenge is answered by moves that name it (`moves`); its weight in [0, 1] becomes the alignment
of the hypotheses that answer it.
"""

from __future__ import annotations

from gome.events import Challenge
from gome.plugins.reasoner.playbook.bundles import bundles
from gome.plugins.reasoner.playbook.facts import Broken, Facts, error_of
from gome.plugins.reasoner.playbook.families import LARGE, TREES
from gome.plugins.reasoner.playbook.fitted import MemberFacts

ENSEMBLE_FROM = 0.3
"""Share of the budget from which joining what the traces have found is worth more than another single step."""


def diagnose(facts: Facts) -> tuple[Challenge, ...]:
    """Return the challenges, weightiest first; ties in a fixed order."""
    if facts.broken:
        return (_broken(facts.broken),)
    if not facts.parent:
        return (*_partners(facts), _start(facts))
    found = _partners(facts)
    found += [c for m in facts.members[:6] for c in _of_member(facts, m)]
    found += _of_data(facts)
    found += _of_blend(facts)
    found += _of_scorer(facts)
    found += _of_progress(facts)
    merged: dict[str, Challenge] = {}
    for challenge in found:
        old = merged.get(challenge.name)
        if old is None or challenge.weight > old.weight:
            merged[challenge.name] = challenge
    return tuple(sorted(merged.values(), key=lambda c: (-c.weight, c.name)))


def _broken(broken: Broken) -> Challenge:
    happened = f"failed ({broken.failure})" if broken.failure else "failed"
    said = f": {broken.reason}" if broken.reason else ""
    return Challenge("does not run", f"{broken.attempt} {happened} before it had a score{said}", 1.0)


def _partners(facts: Facts) -> list[Challenge]:
    if not facts.partners:
        return []
    scores = ", ".join(f"{p.attempt} ({'no score' if p.score is None else f'{p.score:.5g}'})" for p in facts.partners)
    return [Challenge("another solution", f"The step is to take up {facts.metric} of other solutions: {scores}.", 1.0)]


def _start(facts: Facts) -> Challenge:
    shape = f"{facts.rows} rows, {len(facts.columns)} columns, metric {facts.metric}"
    return Challenge("no solution yet", f"Trace {facts.trace} has no accepted program; the table has {shape}.", 1.0)


def _of_member(facts: Facts, m: MemberFacts) -> list[Challenge]:
    found = []
    if m.iterations and m.cap:
        full = sum(i >= 0.95 * m.cap for i in m.iterations)
        if full:
            found.append(
                Challenge(
                    "stops at its cap",
                    f"The {m.family} stops at its cap of {m.cap:.0f} rounds in {full} of {len(m.iterations)} folds.",
                    0.5 + 0.5 * full / len(m.iterations),
                )
            )
        middle = sorted(m.iterations)[len(m.iterations) // 2]
        if middle < 60:
            found.append(
                Challenge(
                    "learns too fast",
                    f"The {m.family} is best after only {middle:.0f} rounds in its median fold: its steps are coarse.",
                    0.5,
                )
            )
    train, valid = error_of(m.train, facts.metric, facts.greater), error_of(m.score, facts.metric, facts.greater)
    if train is not None and valid is not None and m.family in ("booster", "hist_booster", "mlp", "network"):
        gap = (valid - train) / valid
        if gap > 0.35 and facts.rows <= LARGE:
            found.append(
                Challenge(
                    "fits training rows too closely",
                    f"The {m.family} has an error of {train:.4g} on training rows and {valid:.4g} on held-out rows "
                    f"({gap:.0%} less).",
                    min(0.9, 0.25 + 0.6 * gap),
                )
            )
        elif gap < 0.12:
            found.append(
                Challenge(
                    "does not fit training rows closely",
                    f"The {m.family} has almost the same error on training rows ({train:.4g}) as on held-out rows "
                    f"({valid:.4g}): it could learn more.",
                    0.6 if facts.rows > LARGE else 0.45,
                )
            )
    return found


def _of_data(facts: Facts) -> list[Challenge]:
    importance = facts.members[0].importance if facts.members else ()
    weights = {"text": 1.0, "places": 0.75, "several calendar years": 0.7, "parts of a whole": 0.7, "dates": 0.7}
    weights |= {"many levels": 0.65, "graded words": 0.7, "same unit": 0.6, "drift": 0.55, "strong numbers": 0.5}
    found = [
        Challenge(
            b.problem,
            f"{b.reason[0].upper()}{b.reason[1:]}. That suggests {len(b.steps)} feature steps.",
            weights.get(b.problem, 0.4),
        )
        for b in bundles(facts, importance)
    ]
    target = facts.profile.get("target")
    if facts.regression and isinstance(target, dict):
        skew = target.get("skew")
        if isinstance(skew, (int, float)) and abs(skew) > 1.0:
            found.append(
                Challenge("skewed target", f"The target's skew is {skew:.2f}.", min(0.7, 0.3 + 0.1 * abs(skew)))
            )
    if not facts.regression and isinstance(target, dict):
        rare = target.get("minority")
        if isinstance(rare, (int, float)) and rare < 0.25 and facts.classes == 2:
            found.append(Challenge("rare class", f"Only {rare:.1%} of the rows are of the rarer class.", 0.45))
    wide = len(facts.columns)
    if wide >= 30 and facts.rows < 8_000:
        found.append(
            Challenge("many columns", f"{wide} columns for {facts.rows} rows: some of them only add noise.", 0.35)
        )
    return found


def _of_blend(facts: Facts) -> list[Challenge]:
    found = []
    families = {m.family for m in facts.members}
    kinds = "tree" if families <= TREES else "smooth" if not families & TREES else ""
    only = ", ".join(sorted(families))
    if len(facts.members) == 1 or kinds:
        late = 1.0 if facts.used >= ENSEMBLE_FROM else 0.5
        found.append(
            Challenge(
                "one kind of model",
                f"All {len(facts.members)} members are of the {kinds or 'same'} kind ({only}): their errors are alike.",
                0.9 * late if len(facts.members) == 1 else 0.7,
            )
        )
    else:
        found.append(
            Challenge(
                "missing families",
                f"The blend has {len(facts.members)} members of {len(families)} families ({only}); others err "
                f"elsewhere.",
                0.6,
            )
        )
    own = {m.key for m in facts.members}
    foreign = [m for m in facts.library if m.key not in own and m.score is not None]
    if foreign:
        share = 0.95 if facts.used >= ENSEMBLE_FROM or facts.step_kind == "merge" else 0.35
        found.append(
            Challenge(
                "unused programs",
                f"{len(foreign)} fitted models of this run, the best of them {foreign[0].family} with "
                f"{facts.metric} {foreign[0].score:.5g}, are not part of this solution; their predictions are kept.",
                share,
            )
        )
    weak = [m for m in facts.members if m.weight < 0.03]
    if len(facts.members) > 2 and weak:
        found.append(
            Challenge(
                "useless members",
                f"{len(weak)} of {len(facts.members)} members weigh less than 3 % in the blend.",
                0.45,
            )
        )
    if len(facts.members) >= 3:
        found.append(
            Challenge(
                "weights are fitted",
                f"{len(facts.members)} weights are fitted on {facts.rows} rows; another way to blend may carry "
                f"over better.",
                0.4,
            )
        )
    strong = max(facts.members, key=lambda m: m.weight, default=None)
    if strong is not None and len(facts.members) >= 2 and strong.weight > 0.25:
        found.append(
            Challenge(
                "leading member",
                f"The {strong.family} carries {strong.weight:.0%} of the blend: what helps it helps the whole.",
                0.6,
            )
        )
    return found


def _of_scorer(facts: Facts) -> list[Challenge]:
    said = facts.diagnostics.get("scorer")
    if not isinstance(said, dict):
        return []
    found = []
    slices = said.get("slices")
    if isinstance(slices, list) and slices and isinstance(slices[0], dict):
        worst = slices[0]
        ratio = worst.get("ratio")
        if isinstance(ratio, (int, float)) and ratio > 1.5:
            found.append(
                Challenge(
                    "error in one slice",
                    f"The loss is {ratio:.1f} times the average where {worst.get('slice')} ({worst.get('rows')} rows).",
                    min(0.6, 0.2 + 0.1 * ratio),
                )
            )
    share = said.get("outlier_loss")
    if isinstance(share, (int, float)) and share > 0.25:
        found.append(
            Challenge(
                "outliers",
                f"{said.get('outliers') or 0:.1%} of the rows, far off, make up {share:.0%} of the loss.",
                min(0.65, 0.25 + share / 2),
            )
        )
    gap = said.get("calibration_error")
    if isinstance(gap, (int, float)) and gap > 0.02 and facts.metric in ("log_loss", "logloss", "brier"):
        found.append(
            Challenge(
                "poorly calibrated",
                f"Predicted probabilities miss the observed shares by {gap:.1%} on average.",
                min(0.8, 0.4 + 4 * gap),
            )
        )
    return found


def _of_progress(facts: Facts) -> list[Challenge]:
    stuck = facts.rejected_in_a_row
    found = [
        Challenge(
            "settings are first guesses",
            f"The hyper-parameters are first guesses; {stuck} steps of this trace in a row were refused.",
            min(0.75, 0.3 + 0.06 * stuck),
        )
    ]
    single = [
        m for m in facts.members if m.bag == 1 and m.family in ("booster", "mlp", "network", "hist_booster", "trees")
    ]
    if single and facts.fold_scores:
        mean = sum(facts.fold_scores) / len(facts.fold_scores)
        spread = (sum((s - mean) ** 2 for s in facts.fold_scores) / max(1, len(facts.fold_scores) - 1)) ** 0.5
        noisy = facts.seed_noise > spread / 3 if facts.seed_noise else facts.used > 0.5
        if noisy:
            said = f"{facts.seed_noise:.3g} between seeds" if facts.seed_noise else "unknown between seeds"
            found.append(
                Challenge(
                    "one seed",
                    f"The score varies by {said} and {spread:.3g} between folds; {len(single)} members have one seed.",
                    0.5,
                )
            )
    return found
