"""Every reason a subject can be set aside for: code, severity, message, what to do.

The closed list behind ``quarantine.code``, ``instances.code`` and ``volumes.code``, in the order of
the stages that give them. A message is a template without values: nothing out of a header may enter
a reason.
"""

from __future__ import annotations

from medpipe.reasons.cases import RUNNING
from medpipe.reasons.files import SCANNING
from medpipe.reasons.severity import Reason, Severity
from medpipe.reasons.volumes import ASSEMBLING

__all__ = ["REASONS", "Reason", "Severity", "reason"]

REASONS: dict[str, Reason] = SCANNING | ASSEMBLING | RUNNING


def reason(code: str) -> Reason:
    """Return the reason of a code; an unknown code is a bug.

    Raises
    ------
    KeyError
        If the code is not in the list.
    """
    return REASONS[code]
