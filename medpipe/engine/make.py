"""From a spec to a started engine; only here are the engines known by name."""

from __future__ import annotations

from typing import Literal

from medpipe.engine.spec import Engine, EngineSpec
from medpipe.errors import ConfigError


def cases_at_a_time(kind: Literal["serial", "dask"], workers: int | None) -> int:
    """Return how many cases of this host run at the same time, if ``workers`` are asked for.

    Of a cluster that was started by somebody else only its own hosts know.
    """
    if kind == "serial":
        return 1
    if workers is None:
        from dask.system import CPU_COUNT

        return CPU_COUNT
    return workers


def make_engine(spec: EngineSpec) -> Engine:
    """Return the engine a spec names, started.

    Raises
    ------
    ConfigError
        If the kind is unknown or a name cannot be imported.
    SecurityError
        If a scheduler beyond this host would be spoken to without TLS.
    StoppedError
        If a cluster cannot be reached or started.
    """
    if spec.kind == "serial":
        from medpipe.engine.serial import SerialEngine

        return SerialEngine(spec)
    if spec.kind == "dask":
        from medpipe.engine.dask import DaskEngine

        return DaskEngine(spec)
    raise ConfigError(f"engine: {spec.kind!r} is none of serial, dask")
