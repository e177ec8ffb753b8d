"""What a recipe changed since the run before: the words beside the counts of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Spec = Mapping[str, Any]


def recipe_changes(before: Spec, now: Spec) -> list[str]:
    """Return a line for each difference that makes another key.

    Parameters
    ----------
    before, now : mapping
        Locks as read from TOML: ``resolved`` (by route: ``image``, ``regions``, ``features``,
        ``keep``), ``models`` (by route: name and digest), and ``recipe`` with its ``select``, which
        makes no other key but another choice.

    Returns
    -------
    list of str
        Such as ``route ct, features radiomics: ibsi version 1 -> 2``.
    """
    lines: list[str] = []
    routes = sorted({*before["resolved"], *now["resolved"]})
    for name in routes:
        old, new = before["resolved"].get(name), now["resolved"].get(name)
        if old is None or new is None:
            lines.append(f"route {name}: {'new' if old is None else 'gone'}")
            continue
        lines += [f"route {name}, {line}" for line in _route_changes(old, new)]
        lines += [
            f"route {name}, {line}"
            for line in _model_changes(before["models"].get(name, []), now["models"].get(name, []))
        ]
    chosen = [side.get("recipe", {}).get("select", []) for side in (before, now)]
    if chosen[0] != chosen[1]:
        lines.append(f"select: {'new' if not chosen[0] else 'gone' if not chosen[1] else 'changed'}")
    return lines


def _route_changes(old: Spec, new: Spec) -> Iterator[str]:
    for place in range(max(len(old["image"]), len(new["image"]))):
        yield from _op_changes(f"image {place}", _at(old["image"], place), _at(new["image"], place))
    yield from _named_changes(
        "regions", *({op.get("name", op["op"]): op for op in side["regions"]} for side in (old, new))
    )
    extractions = ({entry["name"]: entry["op"] for entry in side["features"]} for side in (old, new))
    yield from _named_changes("features", *extractions)
    images = [{entry["name"]: bool(entry["image"]) for entry in side["features"]} for side in (old, new)]
    for name in sorted(set(images[0]) & set(images[1])):
        if images[0][name] != images[1][name]:
            yield f"features {name}: image {_image(images[0][name])} -> {_image(images[1][name])}"
    if old["keep"] != new["keep"]:
        yield f"keep: {_shown(old['keep'])} -> {_shown(new['keep'])}"


def _model_changes(old: list[Spec], new: list[Spec]) -> Iterator[str]:
    before = {pin["name"]: pin["digest"] for pin in old}
    after = {pin["name"]: pin["digest"] for pin in new}
    for name in sorted({*before, *after}):
        if name not in before or name not in after:
            yield f"models {name}: {'new' if name not in before else 'gone'}"
        elif before[name] != after[name]:
            yield f"models {name}: {before[name][:16]} -> {after[name][:16]}"


def _named_changes(what: str, old: Mapping[str, Spec], new: Mapping[str, Spec]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        yield from _op_changes(f"{what} {name}", old.get(name), new.get(name))


def _op_changes(where: str, old: Spec | None, new: Spec | None) -> Iterator[str]:
    if old is None or new is None:
        if old is not None or new is not None:
            yield f"{where}: {'new' if old is None else 'gone'}"
        return
    if old["op"] != new["op"]:
        yield f"{where}: {old['op']} -> {new['op']}"
        return
    for name in sorted({*old, *new} - {"op"}):
        if old.get(name) != new.get(name):
            yield f"{where}: {new['op']} {name} {_value(old, name)} -> {_value(new, name)}"


def _at(ops: list[Spec], place: int) -> Spec | None:
    return ops[place] if place < len(ops) else None


def _value(spec: Spec, name: str) -> str:
    return _shown(spec[name]) if name in spec else "default"


def _shown(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _image(is_final: bool) -> str:  # noqa: FBT001  # the value of a column, not a switch
    return "final" if is_final else "original"
