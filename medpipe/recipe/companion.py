"""Companion images and views of a route: what else its cases look at, and what they show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medpipe.contracts.images import Aligner, View
from medpipe.contracts.protocols import ImageOp
from medpipe.errors import ConfigError
from medpipe.ops.denoise import Gaussian, Median
from medpipe.ops.registry import make, spec_of
from medpipe.ops.straighten import Straighten
from medpipe.ops.suv import Suv
from medpipe.recipe.checking import checked
from medpipe.recipe.selection import Selection, selection_in_study
from medpipe.recipe.shape import CompanionTable, ViewTable

_KEEP_UNITS = (Straighten, Gaussian, Median)

ORIGINAL, FINAL = "original", "final"
OWN_IMAGES = (ORIGINAL, FINAL)
"""Images of the case itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionImage:
    """Another image of the study that cases of a route look at.

    Attributes
    ----------
    name : str
    selection : Selection
        Which volume of the study it is.
    image : tuple of ImageOp
        Worked on it before it is aligned.
    align : Aligner
    fuse : bool
        Whether both are stored as channels of one volume.
    """

    name: str
    selection: Selection
    image: tuple[ImageOp, ...]
    align: Aligner
    fuse: bool

    @property
    def suv(self) -> Suv | None:
        """The op that turns its values into uptake, if there is one: it is the first."""
        return next((op for op in self.image if isinstance(op, Suv)), None)

    @property
    def unit(self) -> str | None:
        """Unit of its values where the recipe says it: of uptake that no op goes over which may make another of it."""
        keep_it = all(isinstance(op, (Suv, *_KEEP_UNITS)) for op in self.image)
        return self.suv.unit if self.suv is not None and keep_it else None

    def spec(self) -> dict[str, Any]:
        """Return what its rows depend on beside both images."""
        return {**self.seen_spec(), "fuse": self.fuse}

    def seen_spec(self) -> dict[str, Any]:
        """Return what is measured and found on it depends on beside both images."""
        return {"name": self.name, "image": [spec_of(op) for op in self.image], "align": spec_of(self.align)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A view under its name, with the image it shows.

    Attributes
    ----------
    name : str
    image : str
        ``original``, ``final``, or the name of a companion image.
    op : View
    """

    name: str
    image: str
    op: View

    def spec(self, chain: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what its files depend on beside images and regions."""
        shown = list(chain) if self.image == FINAL else []
        return {"name": self.name, "of": self.image, "op": spec_of(self.op), "image": shown}


def parse_companions(tables: Iterable[CompanionTable], where: str) -> tuple[CompanionImage, ...]:
    """Return checked companion images.

    Raises
    ------
    ConfigError
        With the path of the first field that is wrong, such as ``route.0.companions.1.align.op``.
    """
    found = tuple(_companion(table, f"{where}.{place}") for place, table in enumerate(tables))
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise ConfigError(f"{where}: two companions bear one name")
    return found


def image_ops(entries: Iterable[Mapping[str, Any]], where: str) -> tuple[ImageOp, ...]:
    """Return checked image ops.

    Raises
    ------
    ConfigError
        With the path of the first one that is wrong, or cannot stand in its place.
    """
    ops = tuple(make("image", entry, f"{where}.{place}") for place, entry in enumerate(entries))
    for place, op in enumerate(ops):
        if place and getattr(op, "must_be_first", False):
            raise ConfigError(f"{where}.{place}: {op.name} goes by values as they were read: it must come first")
    return ops


def parse_views(
    entries: Iterable[Mapping[str, Any]], where: str, *, companions: Collection[str], has_final: bool, has_regions: bool
) -> tuple[Shown, ...]:
    """Return checked views.

    Raises
    ------
    ConfigError
        With the path of the first field that is wrong, such as ``route.0.views.1.image``.
    """
    found = tuple(_view(entry, f"{where}.{place}") for place, entry in enumerate(entries))
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise ConfigError(f"{where}: two views bear one name")
    known = {ORIGINAL, *companions, *([FINAL] if has_final else [])}
    for place, one in enumerate(found):
        if one.op.uses_regions and not has_regions:
            raise ConfigError(f"{where}.{place}: {one.op.name} shows regions, and the route has none")
        if one.op.uses_regions and one.image != ORIGINAL:
            raise ConfigError(f"{where}.{place}.image: {one.op.name} shows regions of the original image")
        check_image(one.image, known, f"{where}.{place}")
    return found


def check_image(image: str, known: Collection[str], where: str) -> None:
    """Refuse the name of an image that a route does not have.

    Raises
    ------
    ConfigError
        With the path of the field.
    """
    if image not in known:
        raise ConfigError(f"{where}.image: the route has no image {image!r} ({', '.join(sorted(known))})")


def _companion(table: CompanionTable, where: str) -> CompanionImage:
    if table.name in OWN_IMAGES:
        raise ConfigError(f"{where}.name: {table.name!r} is an image of the case itself")
    return CompanionImage(
        name=table.name,
        selection=selection_in_study(table.where, table.prefer, where),
        image=image_ops(table.image, f"{where}.image"),
        align=make("align", table.align, f"{where}.align"),
        fuse=table.fuse,
    )


def _view(entry: Mapping[str, Any], where: str) -> Shown:
    frame = checked(ViewTable, entry, where)
    given = {name: value for name, value in entry.items() if name not in ("name", "image")}
    return Shown(name=frame.name, image=frame.image, op=make("views", given, where))
