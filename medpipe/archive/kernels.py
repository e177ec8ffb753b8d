"""Convolution kernels of CT in two closed classes, by what their makers call them.

Soft kernels are made for soft tissue and head, sharp ones for lung and bone. A name that is
neither, or that nobody here knows, has no class.
"""

from __future__ import annotations

import re
from typing import Final

SOFT: Final = "soft"
SHARP: Final = "sharp"

_WORDS: Final = {
    SOFT: frozenset({"SOFT", "SMOOTH", "STANDARD", "STD"}),
    SHARP: frozenset({"SHARP", "VSHARP", "LUNG", "BONE", "BONEPLUS", "EDGE", "ULTRA"}),
}
"""Words of GE, UIH and others; a name with words of both classes has none."""

_SIEMENS: Final = re.compile(r"[A-Z][a-z]?(\d\d)[a-z]{0,2}(?:[.\\]\d+)?")
"""A family (B, Br, H, I, ...) and a number that grows with sharpness; s and f tell the speed."""

_SIEMENS_SHARP: Final = 50
_CANON: Final = re.compile(r"FC(\d)\d")
_CANON_TENS: Final = {SOFT: frozenset("01246"), SHARP: frozenset("358")}
"""Body and head against bone, lung and high resolution; FC7x is for measuring phantoms."""

_PHILIPS: Final = {
    SOFT: frozenset({"A", "B", "C", "UA", "UB"}),
    SHARP: frozenset({"D", "E", "L", "YA", "YB", "YC", "YD", "YE"}),
}


def kernel_class(said: str, maker: str | None) -> str | None:
    """Return ``soft`` or ``sharp``, or None for a kernel that is neither or not known.

    Parameters
    ----------
    said : str
        First value of ConvolutionKernel (0018,1210).
    maker : str or None
        Manufacturer out of the closed list: letters and numbers mean nothing without it.
    """
    plain = said.strip()
    if maker == "PHILIPS":
        found = [name for name, codes in _PHILIPS.items() if plain in codes]
        if found:
            return found[0]
    canon = _CANON.fullmatch(plain)
    if canon is not None:
        return next((name for name, tens in _CANON_TENS.items() if canon[1] in tens), None)
    siemens = _SIEMENS.fullmatch(plain) if maker == "SIEMENS" else None
    if siemens is not None:
        return SHARP if int(siemens[1]) >= _SIEMENS_SHARP else SOFT
    words = set(re.findall("[A-Z]+", plain.upper()))
    named = [name for name, known in _WORDS.items() if words & known]
    return named[0] if len(named) == 1 else None


def known_kernels() -> list[tuple[str, str, str]]:
    """Return the classes in words: maker, what is soft, what is sharp."""
    tens = {name: ", ".join(f"FC{ten}x" for ten in sorted(found)) for name, found in _CANON_TENS.items()}
    codes = {name: ", ".join(sorted(found)) for name, found in _PHILIPS.items()}
    words = {name: ", ".join(sorted(found)) for name, found in _WORDS.items()}
    edge = _SIEMENS_SHARP
    return [
        (
            "Siemens",
            f"a number below {edge}, such as B30f, I31f, Br40d, H31s",
            f"{edge} and above, such as B70f, Bl57d",
        ),
        ("Philips", codes[SOFT], codes[SHARP]),
        ("Canon, Toshiba", tens[SOFT], tens[SHARP]),
        ("any, such as GE and UIH", f"the words {words[SOFT]}", f"the words {words[SHARP]}"),
    ]
