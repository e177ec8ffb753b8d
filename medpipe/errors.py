"""The error tree. Nothing in medpipe raises anything else on purpose.

::

    MedpipeError                 exit code
      ConfigError                5   recipe, site or command line cannot be used
      SecurityError              5   refused: wrong key, path escape, forbidden content
      LakeError                  5   not a lake, other format version, other privacy mode
      StoppedError               4   stopped in a state that resumes (disk full, archive gone)
      IntegrityError             3   bytes are not what their key or manifest says
      Rejected                   -   data that cannot be used; becomes a row with its code

A message says what is wrong, where (a key or a step) and what to do. It never holds a value
read from an image header.
"""

from __future__ import annotations

from typing import ClassVar


class MedpipeError(Exception):
    """Base of every error medpipe raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(MedpipeError):
    """A recipe, a site file or a command line that cannot be used."""

    exit_code = 5


class SecurityError(MedpipeError):
    """A refusal for safety: a wrong key, a path out of its root, a forbidden type."""

    exit_code = 5


class LakeError(MedpipeError):
    """A folder that is no lake, or a lake this version or this key cannot open."""

    exit_code = 5


class StoppedError(MedpipeError):
    """Work stopped in a state from which the same command resumes."""

    exit_code = 4


class SignalledError(StoppedError):
    """Work stopped because a signal asked for it."""


class IntegrityError(MedpipeError):
    """Stored bytes differ from what their key or manifest promises."""

    exit_code = 3


class Rejected(MedpipeError):  # noqa: N818  # an outcome, not a mistake
    """Data that cannot be used.

    Raised inside reading and computing code, caught at the one case boundary and turned into
    a row of ``quarantine``.

    Parameters
    ----------
    code : str
        A code of :data:`medpipe.reasons.REASONS`.
    op : str
        Name of the op that cannot use them, where one of several is meant.
    """

    def __init__(self, code: str, *, op: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.op = op

    def kept(self) -> Rejected:
        """Return the same to be kept: what was raised holds on to all that its frames had."""
        return Rejected(self.code, op=self.op)
