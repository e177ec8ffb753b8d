"""What CuPy offers, from the table that ``tests/device/facts.py`` wrote of an installed one."""

from __future__ import annotations

import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any

_TABLE = json.loads((Path(__file__).parents[1] / "facts.json").read_text())
VERSION: str = _TABLE["version"]
_MEMBERS: dict[str, dict[str, str]] = _TABLE["members"]


class Undefined(Exception):
    """What CuPy does without a word, but with a result that is not NumPy's or not always the same."""


def has(module: str, name: str) -> bool:
    return name in _MEMBERS.get(module, {})


def names(module: str) -> dict[str, str]:
    return _MEMBERS[module]


def loops(name: str) -> list[tuple[str, str]]:
    """Return the loops of a ufunc: characters of what goes in, and of what comes out."""
    told = _MEMBERS["cupy"][name]
    return [(one.partition("->")[0], one.partition("->")[2]) for one in told[1:].split() if "V" not in one]


def missing(module: str, name: str) -> Exception:
    """Return what to raise for a name that the stand-in does not have."""
    if has(module, name):
        return NotImplementedError(f"the stand-in does not know {module}.{name} yet, CuPy {VERSION} has it")
    return AttributeError(f"CuPy {VERSION} has no {module}.{name}")


@cache
def signature(module: str, name: str) -> inspect.Signature:
    told = _MEMBERS[module][name].split()
    empty, made = inspect.Parameter.empty, []
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for one in told:
        if one == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif one == "/":
            made = [parameter.replace(kind=inspect.Parameter.POSITIONAL_ONLY) for parameter in made]
        elif one.startswith("**"):
            made.append(inspect.Parameter(one[2:], inspect.Parameter.VAR_KEYWORD))
        elif one.startswith("*"):
            made.append(inspect.Parameter(one[1:], inspect.Parameter.VAR_POSITIONAL))
            kind = inspect.Parameter.KEYWORD_ONLY
        else:
            made.append(inspect.Parameter(one.rstrip("?"), kind, default=None if one.endswith("?") else empty))
    return inspect.Signature(made)


def bound(module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments by their names, or say as Python does that CuPy's function has no such."""
    try:
        return dict(signature(module, name).bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise TypeError(f"{module}.{name} of CuPy {VERSION}: {error}") from None
