"""Where a case may go that a device has no memory for: to the CPU, under a key of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from medpipe.keys import digest

NO_ROOM: Final = "E_GPU_MEMORY"
"""How a case ends that a device has no memory for, where it may not go to the CPU."""

ON_CPU: Final = "W_ON_CPU"
"""What is told of a case that was computed on the CPU although a device was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """A case on the CPU, in the place of one on a device.

    Attributes
    ----------
    key : str
        Identity of the result: another one than that of the same case planned for the CPU, so that
        a run on a device takes no results but those it came to itself.
    numeric_class : str
        Class of the CPU.
    """

    key: str
    numeric_class: str


def fallback_of(identity: Mapping[str, Any], numeric_class: str) -> Fallback | None:
    """Return where a case may go; None if it may not.

    Parameters
    ----------
    identity : mapping
        What the case's key is made of, the device's class included.
    numeric_class : str
        Class of the CPU; empty if the run does not permit it.
    """
    if not numeric_class:
        return None
    return Fallback(key=digest({**identity, "fallback": numeric_class}), numeric_class=numeric_class)
