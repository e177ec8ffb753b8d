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
        ``keep``, ``companions``, ``views``, ``perturb``), ``models`` (by route: name and digest), and ``recipe``
        with its ``select`` and the ``where`` and ``prefer`` of companions, which make no other key but
        another choice.

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
        lines += [f"route {name}, {line}" for line in _choice_changes(name, before, now)]
        lines += [
            f"route {name}, {line}"
            for line in _model_changes(before["models"].get(name, []), now["models"].get(name, []))
        ]
    chosen = [side.get("recipe", {}).get("select", []) for side in (before, now)]
    if chosen[0] != chosen[1]:
        lines.append(f"select: {'new' if not chosen[0] else 'gone' if not chosen[1] else 'changed'}")
    return lines


def _route_changes(old: Spec, new: Spec) -> Iterator[str]:
    yield from _chain_changes("image", old["image"], new["image"])
    yield from _named_changes(
        "regions", *({op.get("name", op["op"]): op for op in side["regions"]} for side in (old, new))
    )
    extractions = ({entry["name"]: entry["op"] for entry in side["features"]} for side in (old, new))
    yield from _named_changes("features", *extractions)
    images = [{entry["name"]: _image(entry) for entry in side["features"]} for side in (old, new)]
    for name in sorted(set(images[0]) & set(images[1])):
        if images[0][name] != images[1][name]:
            yield f"features {name}: image {images[0][name]} -> {images[1][name]}"
    if old["keep"] != new["keep"]:
        yield f"keep: {_shown(old['keep'])} -> {_shown(new['keep'])}"
    yield from _companion_changes(*(_by_name(side, "companions") for side in (old, new)))
    yield from _view_changes(*(_by_name(side, "views") for side in (old, new)))
    yield from _perturbed_changes(*(_by_name(side, "perturb") for side in (old, new)))


def _perturbed_changes(old: Mapping[str, Spec], new: Mapping[str, Spec]) -> Iterator[str]:
    yield from _come_and_gone("perturb", old, new)
    for name in sorted(set(old) & set(new)):
        one, other = old[name], new[name]
        yield from _chain_changes(f"perturb {name}, steps", one["steps"], other["steps"])
        for field in ("times", "features"):
            if one[field] != other[field]:
                yield f"perturb {name}: {field} {_shown(one[field])} -> {_shown(other[field])}"


def _companion_changes(old: Mapping[str, Spec], new: Mapping[str, Spec]) -> Iterator[str]:
    yield from _come_and_gone("companions", old, new)
    for name in sorted(set(old) & set(new)):
        one, other = old[name], new[name]
        yield from _chain_changes(f"companions {name}, image", one["image"], other["image"])
        yield from _op_changes(f"companions {name}, align", one["align"], other["align"])
        if one["fuse"] != other["fuse"]:
            yield f"companions {name}: fuse {one['fuse']} -> {other['fuse']}"


def _view_changes(old: Mapping[str, Spec], new: Mapping[str, Spec]) -> Iterator[str]:
    yield from _come_and_gone("views", old, new)
    for name in sorted(set(old) & set(new)):
        yield from _op_changes(f"views {name}", old[name]["op"], new[name]["op"])
        if old[name]["of"] != new[name]["of"]:
            yield f"views {name}: image {old[name]['of']} -> {new[name]['of']}"


def _choice_changes(route: str, before: Spec, now: Spec) -> Iterator[str]:
    """Yield the companions of a route that another volume may be now."""
    old, new = (_companion_tables(side, route) for side in (before, now))
    for name in sorted(set(old) & set(new)):
        for what in ("where", "prefer"):
            if old[name].get(what) != new[name].get(what):
                yield f"companions {name}: {what} changed"


def _companion_tables(lock: Spec, route: str) -> Mapping[str, Spec]:
    routes = lock.get("recipe", {}).get("route", [])
    return next((_by_name(table, "companions") for table in routes if table["name"] == route), {})


def _by_name(side: Spec, what: str) -> Mapping[str, Spec]:
    return {entry["name"]: entry for entry in side.get(what, [])}


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


def _come_and_gone(what: str, old: Mapping[str, Spec], new: Mapping[str, Spec]) -> Iterator[str]:
    for name in sorted(set(old) ^ set(new)):
        yield f"{what} {name}: {'new' if name in new else 'gone'}"


def _chain_changes(what: str, old: list[Spec], new: list[Spec]) -> Iterator[str]:
    for place in range(max(len(old), len(new))):
        yield from _op_changes(f"{what} {place}", _at(old, place), _at(new, place))


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


def _image(extraction: Spec) -> str:
    """Return which image an extraction measures, and of a companion image on which grid if not that of the volume."""
    beside = extraction.get("companion")
    if beside is None:
        return "final" if extraction["image"] else "original"
    return str(beside["name"]) + (" on its own grid" if beside["grid"] == "companion" else "")
