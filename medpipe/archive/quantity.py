"""Maps of quantities: images whose values measure something, so that their scale is not to be changed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

PARAMETRIC_MAP: Final = "1.2.840.10008.5.1.4.1.1.30"

UPTAKE: Final = "UPTAKE"
"""Quantity of a PET whose values are standardized uptake."""

_WORDS: Final = {
    "ADC": "ADC",
    "EADC": "ADC",
    "ADC_UNSPECIFIED": "ADC",
    "FA": "FA",
    "FRACTIONAL_ANISOTROPY": "FA",
    "PHASE": "PHASE",
    "VELOCITY": "VELOCITY",
    "FAT_FRACTION": "FAT_FRACTION",
    "PDFF": "FAT_FRACTION",
    "QSM": "QSM",
    "CBF": "CBF",
    "RCBF": "CBF",
    "RELCBF": "CBF",
    "CBV": "CBV",
    "RCBV": "CBV",
    "RELCBV": "CBV",
    "MTT": "MTT",
    "RELMTT": "MTT",
    "TTP": "TTP",
    "TMAX": "TMAX",
    "KTRANS": "KTRANS",
}
"""Values of ImageType and FrameType that name a quantity, as a closed list: header text goes no further."""

_MAPS: Final = {
    "T1": "T1",
    "T2": "T2",
    "T2_STAR": "T2_STAR",
    "T2*": "T2_STAR",
    "R1": "R1",
    "R2": "R2",
    "R2_STAR": "R2_STAR",
    "R2*": "R2_STAR",
}
"""Weightings, too, bear these names: they are quantities only where the word MAP follows."""

_FIRST_FREE: Final = 2
"""Place from which the values of an image type are the vendor's; before it they say original or derived."""


def quantity_of(kinds: Iterable[tuple[str, tuple[str, ...]]], *, modality: str, unit: str = "") -> str:
    """Return what the values of a stack measure, or nothing where no member says that it is a map.

    Parameters
    ----------
    kinds : iterable of (str, tuple of str)
        SOP class and image type of each frame.
    modality : str
    unit : str
        Of the values, where the header claims one.

    Returns
    -------
    str
        A word of a closed list; ``MAP`` where it is a map of what the list does not name. Of
        several the first in the alphabet.
    """
    if unit == "SUV":
        return UPTAKE
    return min((found for kind in set(kinds) for found in _quantities(*kind, modality)), default="")


def _quantities(sop_class_uid: str, image_type: tuple[str, ...], modality: str) -> Iterable[str]:
    if sop_class_uid == PARAMETRIC_MAP:
        yield "MAP"
    for value in image_type[_FIRST_FREE:]:
        word = re.sub(r"[ _-]+", "_", value.strip().upper())
        if word in _WORDS:
            yield _WORDS[word]
        elif word.endswith("_MAP") and len(word) > len("_MAP"):
            of = word.removesuffix("_MAP")
            yield _MAPS.get(of) or _WORDS.get(of, "MAP")
        elif word == "P" and modality == "MR":
            yield "PHASE"
