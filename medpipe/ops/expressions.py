r"""Regular expressions that cannot hang: names come from strangers, rules from a recipe.

Python's ``re`` tries one way after the other, and there may be exponentially many. Here a
pattern, parsed by ``re``, is walked with the set of all places at once, and the steps are
counted: the answer is that of ``re.search``, or a refusal that is the same on every host.
Backreferences, atomic groups and possessive repeats depend on the way taken; no rule has them.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from medpipe.errors import ConfigError, Rejected

MOST_STEPS: Final = 200_000
"""Places looked at in one name; ordinary rules need some hundred."""

_parser: Any = importlib.import_module("re._parser")

Places = frozenset[int]


class _Text:
    """A text, and how many places of it have been looked at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps = 0

    def look(self, places: Places) -> None:
        self.steps += len(places) + 1
        if self.steps > MOST_STEPS:
            raise Rejected("E_NAME_RULE")


Walk = Callable[[_Text, Places], Places]
"""From all places where a part of a pattern may begin to all places where it may end."""


class Expression:
    """A regular expression with bounded work.

    Parameters
    ----------
    pattern : str
        As for ``re``, without backreferences, atomic groups and possessive repeats.

    Raises
    ------
    ConfigError
        If it is no such expression.
    """

    def __init__(self, pattern: str) -> None:
        try:
            parsed = _parser.parse(pattern)
            self._walk = _sequence(parsed, int(parsed.state.flags))
        except re.error as error:
            raise ConfigError(f"no regular expression ({error})") from None
        except RecursionError:
            raise ConfigError("no regular expression this deep") from None

    def is_in(self, text: str) -> bool:
        """Tell whether some part of a text fits.

        Raises
        ------
        Rejected
            ``E_NAME_RULE`` if that takes more than ``MOST_STEPS``.
        """
        return bool(self._walk(_Text(text), frozenset(range(len(text) + 1))))


@lru_cache(maxsize=256)
def expression(pattern: str) -> Expression:
    """Return the expression of a pattern, parsed once."""
    return Expression(pattern)


def _sequence(parsed: Any, flags: int) -> Walk:
    walks = [_part(str(kind), given, flags) for kind, given in parsed]

    def walk(text: _Text, places: Places) -> Places:
        for one in walks:
            places = one(text, places)
            if not places:
                break
        return places

    return walk


def _part(kind: str, given: Any, flags: int) -> Walk:
    if kind in {"LITERAL", "NOT_LITERAL", "ANY", "IN"}:
        return _one(_test(kind, given, flags))
    if kind == "AT":
        return _at(str(given), flags)
    if kind in {"MAX_REPEAT", "MIN_REPEAT"}:
        least, most, body = given
        return _repeat(_sequence(body, flags), least=int(least), most=int(most))
    if kind == "BRANCH":
        return _branch([_sequence(one, flags) for one in given[1]])
    if kind == "SUBPATTERN":
        _, added, removed, body = given
        return _sequence(body, (flags | added) & ~removed)
    if kind in {"ASSERT", "ASSERT_NOT"}:
        direction, body = given
        back = int(body.getwidth()[0]) if direction < 0 else 0
        return _assertion(_sequence(body, flags), back=back, wanted=kind == "ASSERT")
    raise ConfigError("no backreferences, atomic groups or possessive repeats in a rule")


def _one(test: Callable[[str], bool]) -> Walk:
    def walk(text: _Text, places: Places) -> Places:
        text.look(places)
        return frozenset(place + 1 for place in places if place < len(text.text) and test(text.text[place]))

    return walk


def _branch(ways: list[Walk]) -> Walk:
    def walk(text: _Text, places: Places) -> Places:
        text.look(places)
        return frozenset().union(*(way(text, places) for way in ways))

    return walk


def _repeat(body: Walk, *, least: int, most: int) -> Walk:
    def walk(text: _Text, places: Places) -> Places:
        ends: Places = frozenset()
        count = 0
        while places:
            text.look(places)
            if count >= least:
                # what begins where another number of repeats has ended leads nowhere else
                if places <= ends or count > most:
                    break
                ends |= places
            after = body(text, places)
            # the same places again: the body fits nothing at all, or goes round
            count = least if after == places and count < least else count + 1
            places = after
        return ends

    return walk


def _assertion(body: Walk, *, back: int, wanted: bool) -> Walk:
    def holds(text: _Text, place: int) -> bool:
        found = body(text, frozenset({place - back})) if place >= back else frozenset()
        return bool(found if not back else found & {place}) == wanted

    def walk(text: _Text, places: Places) -> Places:
        text.look(places)
        return frozenset(place for place in places if holds(text, place))

    return walk


def _at(kind: str, flags: int) -> Walk:
    test = _BORDERS[kind]

    def walk(text: _Text, places: Places) -> Places:
        text.look(places)
        return frozenset(place for place in places if test(text.text, place, flags))

    return walk


def _begins(text: str, place: int, flags: int) -> bool:
    return place == 0 or bool(flags & re.MULTILINE and text[place - 1] == "\n")


def _ends(text: str, place: int, flags: int) -> bool:
    left = text[place:]
    return left in {"", "\n"} or bool(flags & re.MULTILINE and left[0] == "\n")


def _is_boundary(text: str, place: int, flags: int) -> bool:
    before = place > 0 and _is_word(text[place - 1], flags)
    after = place < len(text) and _is_word(text[place], flags)
    return before != after


_BORDERS: Final[dict[str, Callable[[str, int, int], bool]]] = {
    "AT_BEGINNING": _begins,
    "AT_BEGINNING_STRING": lambda _text, place, _flags: place == 0,
    "AT_END": _ends,
    "AT_END_STRING": lambda text, place, _flags: place == len(text),
    "AT_BOUNDARY": _is_boundary,
    "AT_NON_BOUNDARY": lambda text, place, flags: bool(text) and not _is_boundary(text, place, flags),
}


def _test(kind: str, given: Any, flags: int) -> Callable[[str], bool]:
    """Return whether a character is one of those a part of a pattern stands for."""
    if kind == "ANY":
        return lambda char: bool(flags & re.DOTALL) or char != "\n"
    if kind == "IN":
        return _member(given, flags)
    return _member([("NEGATE", None)] * (kind == "NOT_LITERAL") + [("LITERAL", given)], flags)


def _member(entries: Any, flags: int) -> Callable[[str], bool]:
    named = [(str(kind), given) for kind, given in entries]
    negated = any(kind == "NEGATE" for kind, _ in named)
    categories = [str(given) for kind, given in named if kind == "CATEGORY"]
    ranges = [(given, given) if kind == "LITERAL" else given for kind, given in named if kind in {"LITERAL", "RANGE"}]

    def test(char: str) -> bool:
        found = any(_in_category(char, one, flags) for one in categories)
        for alike in _alike(char, flags) if not found else ():
            found |= any(low <= ord(alike) <= high for low, high in ranges)
        return found != negated

    return test


@lru_cache(maxsize=4096)
def _alike(char: str, flags: int) -> frozenset[str]:
    """Return a character and, where case does not count, those that differ in case only."""
    if not flags & re.IGNORECASE:
        return frozenset({char})
    if flags & re.ASCII:
        return frozenset({char, char.lower(), char.upper()}) if char.isascii() else frozenset({char})
    lower, upper = char.lower(), char.upper()
    return frozenset(one for one in (char, lower, upper, upper.lower(), lower.upper()) if len(one) == 1)


def _in_category(char: str, name: str, flags: int) -> bool:
    wanted = "_NOT_" not in name
    return _CATEGORIES[name.replace("_NOT_", "_")](char, flags) == wanted


def _is_word(char: str, flags: int) -> bool:
    return (char.isalnum() or char == "_") and _counts(char, flags)


def _counts(char: str, flags: int) -> bool:
    return char.isascii() or not flags & re.ASCII


_CATEGORIES: Final[dict[str, Callable[[str, int], bool]]] = {
    "CATEGORY_DIGIT": lambda char, flags: char.isdecimal() and _counts(char, flags),
    "CATEGORY_SPACE": lambda char, flags: (char in " \t\n\r\f\v") if flags & re.ASCII else char.isspace(),
    "CATEGORY_WORD": _is_word,
}
