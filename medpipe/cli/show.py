"""How commands print: pairs and tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def print_json(value: Any) -> None:
    """Print a value as JSON (NaN as null)."""
    print(json.dumps(_plain(value), indent=1, sort_keys=True, default=str))


def print_pairs(title: str, facts: Mapping[str, Any]) -> None:
    """Print facts as aligned lines; nested facts are indented."""
    print(title)
    _pairs(facts, "  ")


def _pairs(facts: Mapping[str, Any], indent: str) -> None:
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            print(f"{indent}{name}")
            _pairs(value, indent + "  ")
        else:
            print(f"{indent}{name:<{width}}  {_cell(value)}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, limit: int | None = None) -> None:
    """Print rows under their column names, as wide as they need to be."""
    shown = rows if limit is None else rows[:limit]
    cells = [[_cell(value) for value in row] for row in shown]
    widths = [max([len(name), *(len(row[place]) for row in cells)]) for place, name in enumerate(columns)]
    print("  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip())
    print("  ".join("-" * width for width in widths))
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    left = len(rows) - len(shown)
    print(f"({len(rows)} rows{f', {left} not shown' if left else ''})")


def printable(value: Any) -> Any:
    """Return a value for a terminal: in text that strangers wrote, what is not printed becomes an escape."""
    if isinstance(value, str):
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in value)
    return [printable(item) for item in value] if isinstance(value, list) else value


def _cell(value: Any) -> str:
    if value is None or value == {}:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_cell(item) for item in value) + "]"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
