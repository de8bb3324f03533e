"""What column names and levels give away: ordered vocabularies, units, years, coordinates. Plain Python on texts.

Called by `profile.py`; nothing here reads a table or sees the target.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

_SCALES: tuple[tuple[str, ...], ...] = (
    ("po", "fa", "ta", "gd", "ex"),
    (
        "very poor",
        "poor",
        "below average",
        "fair",
        "average|typical",
        "above average",
        "good",
        "very good",
        "excellent",
        "very excellent|outstanding",
    ),
    ("fair", "good", "very good", "premium", "ideal"),
    ("i3", "i2", "i1", "si2", "si1", "vs2", "vs1", "vvs2", "vvs1", "if", "fl"),
    ("very low", "low", "medium|moderate|mid|normal|average", "high", "very high", "extreme"),
    ("tiny|extra small|xs", "small|s", "medium|m", "large|l", "extra large|xl", "xxl"),
    ("mild", "moderate", "severe", "critical"),
    ("never", "rarely|seldom", "sometimes|occasionally", "often|frequently|usually", "always"),
    ("non travel", "travel rarely", "travel frequently"),
    ("bad", "good", "better", "best"),
    (
        "below high school",
        "high school",
        "below college|some college",
        "college|associate",
        "bachelor|bachelors",
        "master|masters",
        "doctor|doctorate|phd",
    ),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("unf", "lwq", "rec", "blq", "alq", "glq"),
    ("sal", "sev", "maj2", "maj1", "mod", "min2", "min1", "typ"),
    ("no", "mn", "av", "gd"),
    ("unfinished|unf", "rough finish|rfn", "finished|fin"),
    ("dirt gravel|unpaved", "partial pavement", "paved"),
    ("regular|reg", "slightly irregular|ir1", "moderately irregular|ir2", "irregular|ir3"),
    ("child", "teen|teenager|youth", "adult", "senior|elderly"),
    ("young", "middle aged", "old"),
    ("cold", "cool", "mild", "warm", "hot"),
)
"""Known scales, worst or least first; alternatives of one place are separated by `|`."""

_ABSENT = re.compile(r"^(none|na|nan|no|absent|missing|no .*|not .*)$")
_UNITS = ("sf", "sqft", "area", "km", "mm", "cm", "usd", "eur", "price", "cost", "amount", "rate", "count", "num")
_YEAR = re.compile(r"(^|_)(yr|year|years)(_|$)")
_LATITUDE = re.compile(r"(^|_)(lat|latitude)(_|$)")
_LONGITUDE = re.compile(r"(^|_)(lon|lng|long|longitude)(_|$)")


def plain(text: str) -> str:
    """Lower case words of a level: `Very_Good` and `very-good` are `very good`."""
    return " ".join(re.split(r"[\s_\-/.]+", text.strip().lower())).strip()


def tokens(name: str) -> tuple[str, ...]:
    """Words of a column name in lower case: `Total_Bsmt_SF`, `totalBsmtSF` and `total.bsmt.sf` have the same."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return tuple(word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word)


_RANKS: tuple[dict[str, int], ...] = tuple(
    {word: rank for rank, words in enumerate(scale) for word in words.split("|")} for scale in _SCALES
)


def ordered_levels(levels: Iterable[str]) -> list[str] | None:
    """The levels of a column in the order of a known scale, worst first, or None when they speak no scale.

    Levels that say "none" (`None`, `No_Garage`) come first. At least three places of a scale must occur (two for a
    scale of three), and nothing that is neither on it nor "none". Numbers with a text (`1 low`) are read as text only.
    """
    given = [level for level in levels if level.strip()]
    if not 2 <= len(given) <= 14:
        return None
    for ranks in _RANKS:
        absent = [level for level in given if plain(level) not in ranks and _ABSENT.match(plain(level))]
        placed = {level: ranks[plain(level)] for level in given if plain(level) in ranks}
        places = len(set(placed.values()))
        needed = 3 if len(set(ranks.values())) > 3 else 2
        if len(placed) + len(absent) == len(given) and len(absent) <= 1 and places >= needed and places == len(placed):
            return absent + sorted(placed, key=lambda level: placed[level])
    return _numbered(given)


def _numbered(levels: Sequence[str]) -> list[str] | None:
    """Levels that all begin with distinct numbers (`1 star`, `Level_3`, `18-25`) in their order."""
    found = [re.match(r"^[A-Za-z_ <>=]*?(\d+)", level) for level in levels]
    if len(levels) < 3 or not all(found) or all(re.fullmatch(r"[\d.]+", level) for level in levels):
        return None
    stems = {re.sub(r"\d+", "#", level) for level in levels}
    numbers = [int(match.group(1)) for match in found if match]
    if len(set(numbers)) < len(numbers) or len(stems) > 2:
        return None
    return [level for _, level in sorted(zip(numbers, levels, strict=True))]


def unit_groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Numeric columns that share a last (or first) word which is a unit or is common to at least three of them."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        words = tokens(name)
        for word in dict.fromkeys((*words[-1:], *words[:1])):
            if not word.isdigit():
                found[word].append(name)
    kept = {w: members for w, members in found.items() if len(members) >= (2 if w in _UNITS else 3)}
    return dict(sorted(kept.items(), key=lambda item: (-len(item[1]), item[0])))


def year_columns(ranges: dict[str, tuple[float, float, bool]]) -> list[str]:
    """Columns that hold calendar years, by range (low, high, whole numbers) and, where the range is narrow, by name."""
    out = []
    for name, (low, high, whole) in ranges.items():
        named = bool(_YEAR.search("_".join(tokens(name))))
        likely = low >= 0 and high >= 1700 if named else low >= 1850 and high - low >= 2
        if whole and likely and high <= 2100:
            out.append(name)
    return out


def coordinate_pairs(names: Sequence[str]) -> list[list[str]]:
    """Pairs [latitude, longitude] by name, matched by what is left of the name."""
    norths = {_LATITUDE.sub("_", "_".join(tokens(name))).strip("_"): name for name in names if _is(_LATITUDE, name)}
    easts = {_LONGITUDE.sub("_", "_".join(tokens(name))).strip("_"): name for name in names if _is(_LONGITUDE, name)}
    return [[norths[rest], easts[rest]] for rest in norths if rest in easts]


def _is(pattern: re.Pattern[str], name: str) -> bool:
    return bool(pattern.search("_".join(tokens(name))))
