"""What a reason says, and how grave it is."""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["info", "warning", "error"]


class Reason(NamedTuple):
    """Why a subject was set aside.

    Attributes
    ----------
    severity : {"info", "warning", "error"}
        ``error`` quarantines; ``warning`` flags; ``info`` explains a normal skip.
    message : str
        What was found, without values.
    remedy : str
        What a person can do about it.
    """

    severity: Severity
    message: str
    remedy: str


def error(message: str, remedy: str) -> Reason:
    """Return a reason that quarantines."""
    return Reason("error", message, remedy)


def warning(message: str, remedy: str) -> Reason:
    """Return a reason that flags."""
    return Reason("warning", message, remedy)


def info(message: str, remedy: str) -> Reason:
    """Return a reason that explains a normal skip."""
    return Reason("info", message, remedy)
