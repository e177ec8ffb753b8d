"""Whether pixels were compressed with loss."""

from __future__ import annotations

from typing import Any, Final

from medpipe.archive.elements import text

_LOSSY_SYNTAXES: Final = frozenset(
    f"1.2.840.10008.1.2.4.{last}" for last in (50, 51, 52, 53, 54, 55, 56, 59, 60, 61, 62, 63, 64, 81, 91, 93, 203)
)
# these two may hold either; the header or the other codec's flag decides
_MAYBE_LOSSY: Final = frozenset({"1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"})


def is_lossy(dataset: Any, syntax: str) -> bool:
    """Tell whether the header says so, or else the transfer syntax."""
    said = text(dataset, "LossyImageCompression")
    if said == "01":
        return True
    return syntax in _LOSSY_SYNTAXES - _MAYBE_LOSSY or (syntax in _MAYBE_LOSSY and said != "00")
