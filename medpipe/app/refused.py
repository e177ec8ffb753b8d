"""What a scan could not read, and when it tries again: at once, under other conditions, or when asked to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from medpipe.app.conditions import conditions_of
from medpipe.app.site import Site

PASSING = frozenset({"E_CHANGED", "E_UNREADABLE", "E_VANISHED", "S_DICOMDIR_LACKS"})
"""Codes that say nothing lasting about a file: it is read again though its version is the same."""

CONDITIONAL = frozenset({"E_TOO_LARGE", "E_TIMEOUT", "E_OOM", "E_HEADER", "E_UNSUPPORTED_TS"})
"""Codes of headers that limits, codecs or medpipe's version decide as well as the file does."""

AGAIN = "again"
"""Note of a file that is read again though it looks the same: what was wrong may have passed."""

_UNDER = "@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """When a scan reads again what was refused before.

    Attributes
    ----------
    conditions : str
        Digest of limits and versions now; empty: what was refused stays so.
    codes : frozenset of str
        Codes that are tried again under the same conditions too.
    """

    conditions: str = ""
    codes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, site: Site, codes: tuple[str, ...]) -> Self:
        """Return what holds for a site, where some codes were asked for."""
        return cls(conditions=conditions_of(site.limits), codes=frozenset(codes))

    def note(self, code: str) -> str:
        """Return the note of a file whose header ended with a code."""
        if code in PASSING:
            return AGAIN
        return f"{code}{_UNDER}{self.conditions}" if code in CONDITIONAL else ""

    def is_noted(self, note: str) -> bool:
        """Tell whether a file with this note is read again."""
        code, under, conditions = note.partition(_UNDER)
        return self.is_due(code, conditions) if under else bool(note)

    def is_due(self, code: str, conditions: str) -> bool:
        """Tell whether what was refused with a code, under some conditions, is tried again."""
        return code in self.codes or (bool(self.conditions) and conditions != self.conditions)
