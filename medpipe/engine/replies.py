"""What comes back from a call: a reply, or the death of the process that worked on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from medpipe.errors import (
    ConfigError,
    IntegrityError,
    LakeError,
    MedpipeError,
    SecurityError,
    StoppedError,
)

_BY_NAME: dict[str, type[MedpipeError]] = {
    error.__name__: error for error in (ConfigError, SecurityError, LakeError, StoppedError, IntegrityError)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of a session, be it a value or the reason why there is none.

    Attributes
    ----------
    value : dict or None
        What the session returned; None if it raised.
    code : str
        Reason code if it raised because of the subject, else empty.
    error : str
        Name of the exception's type, or empty.
    message : str
        Text of the exception if medpipe raised it on purpose to stop the work, else empty:
        the text of any other may hold a value of a patient.
    stage, subject : str
        Last mark of the call.
    wall_s, cpu_s : float
        Seconds by the clock and of processor time.
    peak_bytes : int
        Highest resident memory during the call.
    """

    value: dict[str, Any] | None = None
    code: str = ""
    error: str = ""
    message: str = ""
    stage: str = ""
    subject: str = ""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0

    def raise_if_stopping(self) -> None:
        """Raise the error that ends the whole work, if this reply carries one.

        Raises
        ------
        MedpipeError
            Of the class the session raised: ``StoppedError`` if the disk is full, ...
        """
        if self.error and not self.code:
            raise error_named(self.error, self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A call that ended without an answer, with the process that worked on it.

    Attributes
    ----------
    code : str
        ``E_TIMEOUT``, ``E_OOM`` or ``E_CRASH``; for one item of a batch also the code the
        session gave.
    stage, subject : str
        Last mark before the end: what was being done, and on what.
    signal : int or None
        Signal that ended the process, if one did.
    is_first : bool
        Whether it was the first call of its process, so that no other call can have harmed it.
    wall_s, cpu_s : float
        Seconds by the clock and of processor time.
    peak_bytes : int
        Highest resident memory seen.
    """

    code: str
    stage: str = ""
    subject: str = ""
    signal: int | None = None
    is_first: bool = False
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0


class Caller(Protocol):
    """Something that answers calls: a pool of sandboxes, or a session in this process."""

    @property
    def numeric_class(self) -> str:
        """Class the calls compute in on the CPU."""

    @property
    def is_renewed(self) -> bool:
        """Whether another process takes the place of one that has lost its device."""

    def call(
        self, kind: str, payload: dict[str, Any], *, deadline_s: float, memory_bytes: int | None, is_fresh: bool
    ) -> Reply | Death:
        """Ask the session; never raises because of the subject."""

    def close(self) -> None:
        """End what runs, at once."""


def error_named(name: str, message: str) -> MedpipeError:
    """Return the error of a class named by another process; ``MedpipeError`` if it is no known one."""
    return _BY_NAME.get(name, MedpipeError)(message)
