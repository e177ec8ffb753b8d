"""How long work tells where it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener: the command line draws bars or prints lines, a flow writes to its log."""

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage of so many steps (None: unknown)."""

    def advance(self, steps: int = 1) -> None:
        """Report that steps of the stage ended."""

    def say(self, line: str) -> None:
        """Report a fact worth a line."""


class Silent:
    """A listener that does not listen."""

    def stage(self, name: str, total: int | None) -> None:
        """Ignore a stage."""

    def advance(self, steps: int = 1) -> None:
        """Ignore steps."""

    def say(self, line: str) -> None:
        """Ignore a line."""
