"""What all slices of a series have in common, and what each has of its own.

A pattern is the header of one slice, made by the functions of the whole reading. Another slice
whose wanted elements are byte for byte the same, but for the varying ones, gets the same header
with its own values in their places. Where a value would change more than its place (a slope of
zero, a position of two numbers), there is no pattern and no use of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from msgspec.structs import replace

from medpipe.archive.alike import TIME, Common, Own, common_of
from medpipe.archive.elements import integer, number, text
from medpipe.archive.facts import TEXTS
from medpipe.archive.frames import TEMPORAL
from medpipe.archive.header import Header
from medpipe.archive.pet import acquired_again, read_again
from medpipe.archive.quick.dataset import HeadDataset
from medpipe.archive.quick.wanted import OWN, SELDOM, VARYING
from medpipe.archive.unreadable import LEAST_SLOPE
from medpipe.kernels.dicom_walk import SLOTS

_FACTS: Final = {keyword: name for name, keyword in TEXTS.items() if keyword in VARYING}
_OWN_FACTS: Final = tuple((name, keyword) for keyword, name in _FACTS.items() if keyword in OWN)
_SELDOM_FACTS: Final = tuple((name, keyword) for keyword, name in _FACTS.items() if keyword in SELDOM)
_SCALE: Final = ("RescaleSlope", "RescaleIntercept")


@dataclass(frozen=True)
class Pattern:
    """The header of a slice, and how those of others are made of it.

    Attributes
    ----------
    header : Header
    own, seldom : tuple of (str, str, int)
        Of the varying elements that are there: keyword, type and place in the result of a pass.
    dataset : HeadDataset
        Of the encoding of the slice; holds what varies of one slice at a time.
    """

    header: Header
    own: tuple[tuple[str, str, int], ...]
    seldom: tuple[tuple[str, str, int], ...]
    dataset: HeadDataset

    @cached_property
    def common(self) -> Common | None:
        """The header without what is a slice's own; None where slices like it are told whole."""
        return common_of(self.header)


def pattern_of(header: Header, dataset: HeadDataset) -> Pattern | None:
    """Return a header as a pattern for others, or None where values of its own change it as a whole."""
    # the code of encapsulated pixels depends on their bytes: it is found anew for each slice
    is_coded = header.n_fragments >= 0 and bool(header.code)
    # of a directory of files nothing else is read
    is_coded = is_coded or header.code == "E_DICOMDIR"
    if (
        header.is_mosaic
        or header.n_groups
        # of which the time of acquisition is one of many elements that may say it
        or (header.pet is not None and "AcquisitionDateTime" in dataset.leaves)
        # what structures and segments say of themselves is read from elements that no key holds
        or header.is_structure_set
        or header.is_segmentation
        or is_coded
        or not (_has_place(dataset) and _has_scale(dataset))
    ):
        return None
    leaves = dataset.leaves
    kinds = [(name, leaves[name][0], SLOTS + 2 * place) for place, name in enumerate(VARYING) if name in leaves]
    return Pattern(
        header=header,
        own=tuple([kind for kind in kinds if kind[0] in OWN]),
        seldom=tuple([kind for kind in kinds if kind[0] in SELDOM]),
        dataset=dataset.alike(),
    )


def variant_of(pattern: Pattern, seldom: HeadDataset) -> Pattern | None:
    """Return a pattern with the values of other seldom varying elements, or None where they change more."""
    facts = _facts(pattern, seldom, _SELDOM_FACTS)
    if facts is None or not _has_scale(seldom):
        return None
    slope, intercept = (seldom.numbers(keyword) for keyword in _SCALE)
    temporal = [(keyword, seldom.numbers(keyword)) for keyword in TEMPORAL if keyword in seldom.leaves]
    plane = replace(
        pattern.header.top,
        slope=slope[0] if slope else None,
        intercept=intercept[0] if intercept else None,
        echo_time_ms=number(seldom, "EchoTime"),
        temporal=tuple([(keyword, values[0]) for keyword, values in temporal if values]),
    )
    number_of, pet = integer(seldom, "AcquisitionNumber"), pattern.header.pet
    if pet is not None:
        pet = read_again(pet, seldom, facts)
    header = replace(pattern.header, top=plane, acquisition_number=number_of, facts=facts, pet=pet)
    return Pattern(header, pattern.own, pattern.seldom, pattern.dataset)


def own_of_slice(
    pattern: Pattern,
    own: HeadDataset,
    *,
    path: str,
    size: int,
    version: str,
    head_digest: str,
    head_bytes: int,
    pixel_offset: int,
) -> Own | None:
    """Return what a slice that fits a pattern has of its own, or None where its values change more than their place.

    Its pixels are not encapsulated. The parameters are those of :func:`header_of_slice`.
    """
    time = text(own, "AcquisitionTime")
    if bool(time) != (TIME in pattern.header.facts) or not _has_place(own):
        return None
    return Own(
        path,
        size,
        version,
        head_digest,
        head_bytes,
        text(own, "SOPInstanceUID"),
        integer(own, "InstanceNumber"),
        0,
        pixel_offset,
        -1,
        own.numbers("ImagePositionPatient"),
        time,
    )


def header_of_slice(pattern: Pattern, own: HeadDataset, **given: Any) -> Header | None:
    """Return the header of a slice that fits a pattern, or None where its own values change more than their place.

    Parameters
    ----------
    pattern : Pattern
    own : HeadDataset
        What varies always, of the slice.
    given
        Fields of the header that are known otherwise.
    """
    facts = _facts(pattern, own, _OWN_FACTS)
    if facts is None or not _has_place(own):
        return None
    pet = pattern.header.pet
    if pet is not None:
        given["pet"] = acquired_again(pet, facts)
    return replace(
        pattern.header,
        sop_instance_uid=text(own, "SOPInstanceUID"),
        instance_number=integer(own, "InstanceNumber"),
        top=replace(pattern.header.top, position=own.numbers("ImagePositionPatient")),
        facts=facts,
        **given,
    )


def _facts(pattern: Pattern, dataset: HeadDataset, keywords: tuple[tuple[str, str], ...]) -> dict[str, Any] | None:
    """Return the pattern's facts with other values, or None where others are there: their order must stay."""
    facts = dict(pattern.header.facts)
    for name, keyword in keywords:
        said = text(dataset, keyword)
        if bool(said) != (name in facts):
            return None
        if said:
            facts[name] = said
    return facts


def _has_place(dataset: HeadDataset) -> bool:
    return "ImagePositionPatient" not in dataset.leaves or len(dataset.numbers("ImagePositionPatient")) == 3


def _has_scale(dataset: HeadDataset) -> bool:
    said = [dataset.numbers(keyword) for keyword in _SCALE if keyword in dataset.leaves]
    slope = dataset.numbers("RescaleSlope")
    return all(len(values) == 1 for values in said) and (not slope or abs(slope[0]) >= LEAST_SLOPE)
