"""Records of frozen, slotted dataclasses, taken apart and made by the million."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Generic, TypeVar

Record = TypeVar("Record")


class Slotted(Generic[Record]):
    """A frozen dataclass with slots, as a row of values in the order of its fields.

    Slots are filled one by one: the initializer of a frozen class takes twice as long.

    Parameters
    ----------
    kind : type
        The dataclass; it checks nothing when it is made.
    empty : Record
        One whose fields hold their defaults.

    Attributes
    ----------
    places : mapping of str to int
        Where each field stands.
    """

    def __init__(self, kind: type[Record], empty: Record) -> None:
        self._kind = kind
        fields = tuple(kind.__dataclass_fields__)  # type: ignore[attr-defined]  # it is a dataclass
        self.places: Mapping[str, int] = {name: place for place, name in enumerate(fields)}
        self.values: Callable[[Record], tuple[Any, ...]] = attrgetter(*fields)
        self._put = tuple(getattr(kind, name).__set__ for name in fields)
        self._defaults = self.values(empty)
        self._known = tuple(zip(fields, self._defaults, strict=True))

    def make(self, values: Iterable[Any]) -> Record:
        """Return the record that has these values."""
        record = object.__new__(self._kind)
        for put, value in zip(self._put, values, strict=True):
            put(record, value)
        return record

    def told(self, record: Record) -> dict[str, Any]:
        """Return the fields that are not at their default, by name."""
        return {
            name: value
            for (name, default), value in zip(self._known, self.values(record), strict=True)
            if value is not default and value != default
        }

    def read(self, told: Mapping[str, Any]) -> Record:
        """Return the record of which :meth:`told` gave these fields, lists for tuples; others are passed over."""
        values = list(self._defaults)
        places = self.places
        for name, value in told.items():
            if name in places:
                values[places[name]] = tuple(value) if isinstance(value, list) else value
        return self.make(values)
