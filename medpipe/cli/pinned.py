"""The serial engine computes in the command's own process, which has to be a pinned one."""

from __future__ import annotations

from medpipe.cli.signals import signals_held


def pin_for(engine: str | None) -> None:
    """Start the command again, pinned, if its engine is the serial one and it is not pinned yet.

    Whatever was imported before is imported twice, so it is called as soon as the engine is known.
    """
    if engine == "serial":
        from medpipe.engine.numeric import restart_pinned

        with signals_held():
            restart_pinned()
