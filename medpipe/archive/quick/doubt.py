"""What ends a quick reading: something that only the whole reading may judge."""

from __future__ import annotations


class Doubt(Exception):  # noqa: N818  # no error: the file may be sound
    """The whole reading must decide; never leaves this package."""
