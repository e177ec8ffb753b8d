"""Engines that run cases: serial and Dask, with sandboxes.

Importing this package imports neither Dask nor Prefect.
"""

from medpipe.engine.make import make_engine
from medpipe.engine.pool import SandboxPool
from medpipe.engine.replies import Death, Reply
from medpipe.engine.sandbox import SandboxSpec
from medpipe.engine.spec import Engine, EngineSpec
from medpipe.engine.tasks import Event, Task

__all__ = ["Death", "Engine", "EngineSpec", "Event", "Reply", "SandboxPool", "SandboxSpec", "Task", "make_engine"]
