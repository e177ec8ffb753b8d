"""From a spec to a started engine; only here are the engines known by name."""

from __future__ import annotations

from medpipe.engine.spec import Engine, EngineSpec
from medpipe.errors import ConfigError


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
