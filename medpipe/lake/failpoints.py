"""Named points at which a test can kill or stop the process, to prove that nothing tears there."""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "MEDPIPE_FAILPOINT"

FAILPOINTS = (
    "put.before_link",
    "put.after_link",
    "pointer.before_replace",
    "pointer.after_replace",
    "scan.before_state",
    "scan.after_state",
    "scan.after_pointer",
    "volume.after_array",
    "volume.after_manifest",
    "publish.before_fsync",
    "publish.before_rename",
    "publish.after_rename",
    "segment.before_seal",
    "segment.after_seal",
    "results.before_piece",
    "results.before_pointer",
    "results.after_pointer",
    "snapshot.before_range",
    "snapshot.before_object",
    "snapshot.before_run",
    "snapshot.after_run",
    "tables.after_part",
    "tables.before_publish",
    "tables.before_latest",
    "tables.before_swap",
    "tables.after_swap",
)
"""Every point of a run, in the order it meets them first."""

GC_FAILPOINTS = ("gc.before_remove", "gc.after_remove")
"""The points of gc, beside those of its own writes."""

FORGET_POINT = "forget.after_state"
"""The point of forget."""

_hits: Counter[str] = Counter()


def hit(name: str) -> None:
    """Kill this process if ``MEDPIPE_FAILPOINT`` is ``name:nth`` and this is the nth time.

    With ``name:nth:stop`` it is stopped (SIGSTOP), and goes on from there when it is told to.
    Does nothing unless the variable is set.

    Parameters
    ----------
    name : str
        One of :data:`FAILPOINTS`, :data:`GC_FAILPOINTS`, or :data:`FORGET_POINT`.
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    point, nth, action = (*wanted.split(":"), "", "")[:3]
    if point != name:
        return
    _hits[name] += 1
    if _hits[name] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGSTOP if action == "stop" else signal.SIGKILL)
