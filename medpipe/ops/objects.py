"""The region source that takes what was drawn: DICOM SEG and RTSTRUCT objects, named by rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal

from medpipe.bits import Bits, join
from medpipe.errors import ConfigError, Rejected
from medpipe.ops.expressions import expression
from medpipe.ops.padding import padded_frame, padding_bytes
from medpipe.ops.parameters import Pairs, parameter
from medpipe.ops.register import register
from medpipe.types import Companions, Geometry, Region, Structure, Volume
from medpipe.xp import to_numpy

_OWN_NAME: Final = re.compile(r"roi_\d+")


@register("regions")
@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationObjects:
    """Takes the regions drawn in DICOM SEG and RTSTRUCT objects, renamed by rules.

    Objects come in the order of their UIDs. The first rule that fits names a
    region: those of ``map`` are tried on the name as written (of a mask file its name without its
    ending, a blank and the label value), then those of ``codes``, then those of ``numbers``; what none fits keeps ``roi_N``. A structure of which nothing was drawn is a
    region without voxels that says why.
    """

    name: ClassVar[str] = "segmentation_objects"
    version: ClassVar[int] = 1
    uses_companions: ClassVar[bool] = True

    map: Pairs = parameter(  # noqa: RUF009  # declares a field
        (), doc="Labels, each with a regular expression; the first found in an object's name renames it."
    )
    codes: Pairs = parameter(  # noqa: RUF009  # declares a field
        (), doc="Labels, each with a coded concept such as SCT:27925004 that says what is shown."
    )
    numbers: Pairs = parameter(  # noqa: RUF009  # declares a field
        (), doc="Labels, each with the number of a segment or structure in its object."
    )
    same_label: Literal["apart", "joined"] = parameter(
        "apart", doc="Regions of one label stay apart, by their numbers, or become one."
    )
    objects: Literal["all", "newest"] = parameter(
        "all", doc="Which segmentations and structure sets of a series count: all, or the newest of each kind."
    )
    threshold: float = parameter(
        0.5, doc="Share of the maximum from which values of a fractional segmentation are inside.", above=0.0, high=1.0
    )
    resample: bool = parameter(
        default=False, doc="Take nearest voxels of segmentations on another grid; they are refused otherwise."
    )
    padding: Literal["keep", "exclude"] = parameter("keep", doc="Whether voxels that the header calls padding count.")

    def __post_init__(self) -> None:
        for rules, label, pattern in self._rules():
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", label) or _OWN_NAME.fullmatch(label):
                raise ConfigError(
                    f"{rules}: {label!r} is no label (at most 64 lower-case letters, digits and _, not roi_N)"
                )
            self._check(rules, label, pattern)

    def _rules(self) -> Iterator[tuple[str, str, str]]:
        for rules in ("map", "codes", "numbers"):
            for label, pattern in getattr(self, rules):
                yield rules, label, pattern

    @staticmethod
    def _check(rules: str, label: str, pattern: str) -> None:
        if rules == "map":
            try:
                expression(pattern)
            except ConfigError as error:
                raise ConfigError(f"map.{label}: {error}") from None
        if rules == "codes" and not re.fullmatch(r"[^:\s]+:[^:\s]+", pattern):
            raise ConfigError(f"codes.{label}: {pattern!r} is no SCHEME:VALUE")
        if rules == "numbers" and not re.fullmatch(r"[1-9][0-9]{0,9}", pattern):
            raise ConfigError(f"numbers.{label}: {pattern!r} is no number from 1")

    @property
    def uses_concepts(self) -> bool:
        """Whether the result depends on more of an object than masks and names."""
        return bool(self.codes or self.numbers) or self.objects == "newest"

    @property
    def uses_padding(self) -> bool:
        """Whether padding is left out."""
        return self.padding == "exclude"

    def memory(self, geometry: Geometry) -> int:
        """Return 0: the masks come with the case; or the bytes of padding and a mask."""
        return padding_bytes(geometry) if self.uses_padding else 0

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:
        """Return the companions' regions under mapped names; those no rule fits keep ``roi_N``.

        Raises
        ------
        Rejected
            ``E_GRID`` if a region does not lie on the volume's grid, ``E_NAME_RULE`` if a rule
            takes too long on a name.
        """
        known = companions.structures
        counting = (one for one in companions.regions if self.objects == "all" or _is_newest(known.get(one.name)))
        found = tuple(self._region(region, volume.geometry, companions) for region in counting)
        padded = padded_frame(volume) if self.uses_padding else None
        if padded is not None:
            measured = ~to_numpy(padded)
            found = tuple(replace(region, bits=Bits.of(region.mask & measured)) for region in found)
        return found if self.same_label == "apart" else tuple(_joined(found))

    def label_of(self, name: str, structure: Structure | None = None) -> str | None:
        """Return the label of what an object names so, or None.

        Parameters
        ----------
        name : str
            As written.
        structure : Structure, optional

        Raises
        ------
        Rejected
            ``E_NAME_RULE``.
        """
        facts = structure or Structure()
        by_name = (label for label, pattern in self.map if expression(pattern).is_in(name))
        by_code = (label for label, concept in self.codes if concept in facts.codes)
        by_number = (label for label, number in self.numbers if int(number) == facts.number)
        return next(by_name, None) or next(by_code, None) or next(by_number, None)

    def _region(self, region: Region, geometry: Geometry, companions: Companions) -> Region:
        if region.bits.shape != geometry.spatial_shape:
            raise Rejected("E_GRID")
        structure = companions.structures.get(region.name)
        original = companions.original_names.get(region.name)
        label = None if original is None else self.label_of(original, structure)
        named = replace(region, name=label or region.name)
        if structure is None:
            return named
        if structure.resampled and not self.resample:
            nothing = Bits(shape=region.bits.shape, start=(0, 0, 0), size=(0, 0, 0), packed=b"")
            return replace(named, bits=nothing, code="E_GRID")
        if structure.shares is not None and self.threshold != region.threshold:
            bits = structure.shares.at_least(self.threshold, region.bits.shape)
            return replace(named, bits=bits, threshold=self.threshold)
        return named


def _is_newest(structure: Structure | None) -> bool:
    return structure is None or structure.is_newest


def _joined(regions: Iterable[Region]) -> Iterator[Region]:
    """Yield regions, those of one label as one that bears the first one's number and source."""
    by_label: dict[str, list[Region]] = {}
    for region in regions:
        # what says why it is empty stays by itself; no label has a blank in it
        key = f"{region.name} {region.label}" if region.code else region.name
        by_label.setdefault(key, []).append(region)
    for together in by_label.values():
        yield replace(together[0], bits=join([region.bits for region in together]))
