"""Selections: among which volumes of a study or patient one is taken, and what it is taken for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medpipe.errors import ConfigError
from medpipe.recipe.checking import checked
from medpipe.recipe.preferences import LOCALIZERS_LAST, Preference, named_preferences, nearest_thickness
from medpipe.recipe.shape import NearestTable, SelectTable, WhereTable
from medpipe.recipe.where import Where, parse_where


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A choice among the volumes that routes take.

    Attributes
    ----------
    one_per : tuple of str
        What volumes have in common that stand for choice together: ``study`` or ``patient``,
        perhaps ``modality`` and ``route``.
    where : Where
        Which volumes stand for choice.
    routes : tuple of str
        Routes that take them; all if empty.
    prefer : tuple of Preference
        The next one decides among volumes that are equal so far; first of all, localizers come last.
    keeps_series : bool
        The other volumes of the series of the best one are taken too.
    """

    one_per: tuple[str, ...]
    where: Where
    routes: tuple[str, ...]
    prefer: tuple[Preference, ...]
    keeps_series: bool

    @property
    def is_per_patient(self) -> bool:
        """Whether volumes of several studies stand for choice together."""
        return "study" not in self.one_per

    def takes(self, volume: Mapping[str, Any], route: str) -> bool:
        """Tell whether a volume that a route takes stands for choice here."""
        return (not self.routes or route in self.routes) and self.where.takes(volume) is None

    def group(self, volume: Mapping[str, Any], route: str) -> tuple[str, ...]:
        """Return what a volume has in common with those it stands for choice with."""
        # a series that names no study or patient has a key of its own for it
        own = {"study": volume.get("study_key"), "patient": volume.get("patient_key"), "route": route}
        named = {"modality": volume["modality"], **own}
        return tuple(str(named[part]) for part in self.one_per)

    def numbers(self, volume: Mapping[str, Any]) -> tuple[float | None, ...]:
        """Return a volume's number for each preference, the lower the better."""
        return tuple(one.number(volume) for one in self.prefer)

    def spec(self) -> dict[str, Any]:
        """Return what a choice depends on."""
        return {
            "one_per": list(self.one_per),
            "where": self.where.spec(),
            "routes": list(self.routes),
            "prefer": [one.label for one in self.prefer],
            "keeps_series": self.keeps_series,
        }


def parse_selections(tables: Iterable[SelectTable], *, routes: Collection[str]) -> tuple[Selection, ...]:
    """Return checked selections.

    Raises
    ------
    ConfigError
        With the path of the first field that is wrong, such as ``select.0.prefer.1``.
    """
    return tuple(_selection(table, f"select.{place}", routes) for place, table in enumerate(tables))


def _selection(table: SelectTable, where: str, routes: Collection[str]) -> Selection:
    if len({"study", "patient"}.intersection(table.one_per)) != 1:
        raise ConfigError(f"{where}.one_per: either study or patient has to be among them")
    for place, name in enumerate(table.where.route):
        if name not in routes:
            raise ConfigError(f"{where}.where.route.{place}: the recipe has no route {name!r}")
    prefer = _preferences(table.prefer, where)
    return Selection(
        one_per=tuple(sorted(set(table.one_per))),
        where=parse_where(table.where, where),
        routes=tuple(sorted(set(table.where.route))),
        prefer=(LOCALIZERS_LAST, *prefer),
        keeps_series=table.keep == "series",
    )


def selection_in_study(table: WhereTable, prefer: Sequence[Any], where: str) -> Selection:
    """Return the choice of one volume of a study that fits conditions.

    Raises
    ------
    ConfigError
        With the path of the first field that is wrong, such as ``route.0.companions.0.prefer.1``.
    """
    return Selection(
        one_per=("study",),
        where=parse_where(table, where),
        routes=(),
        prefer=(LOCALIZERS_LAST, *_preferences(prefer, where)),
        keeps_series=False,
    )


def _preferences(entries: Sequence[Any], where: str) -> tuple[Preference, ...]:
    prefer = tuple(_preference(entry, f"{where}.prefer.{place}") for place, entry in enumerate(entries))
    labels = [one.label for one in prefer]
    if len(set(labels)) != len(labels):
        raise ConfigError(f"{where}.prefer: one preference is there twice")
    return prefer


def _preference(entry: Any, where: str) -> Preference:
    if isinstance(entry, Mapping):
        return nearest_thickness(checked(NearestTable, entry, where).thickness_mm)
    named = named_preferences()
    if not isinstance(entry, str) or entry not in named:
        raise ConfigError(f"{where}: no such preference; there are {', '.join(named)}, {{ thickness_mm = NUMBER }}")
    return named[entry][0]
