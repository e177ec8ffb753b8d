"""What a case is told and what it may ask for: its order, and the room around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from medpipe.contracts.protocols import Scorer
from medpipe.contracts.records import ProductRecord
from medpipe.lake.scratch import Spool
from medpipe.plan.fallback import Fallback
from medpipe.plan.products import Content
from medpipe.recipe.lock import LockedRecipe
from medpipe.types import Companions, Volume
from medpipe.work.images import ImageRoom

Mark = Callable[[str, str], None]
"""Called with (stage, subject) before each step, so that a crash names the guilty."""


class Steps:
    """Where a case is. Of its own, so that nothing a case holds holds the case: its memory serves the next one.

    Parameters
    ----------
    mark : callable
        Called before each step.
    subject : str

    Attributes
    ----------
    stage : str
        The last step.
    """

    def __init__(self, mark: Mark, subject: str) -> None:
        self._mark = mark
        self._subject = subject
        self.stage = "read"

    def __call__(self, stage: str) -> None:
        """Begin a step."""
        self.stage = stage
        self._mark(stage, self._subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read for a case: voxels as float32, on the host or in a spool.

    Attributes
    ----------
    volume : Volume
    quantization : (float, float) or None
        Slope and intercept when one pair serves all slices; a hint for lossless storage.
    """

    volume: Volume
    quantization: tuple[float, float] | None


class Room(ImageRoom, Protocol):
    """What a case needs from around it.

    Attributes
    ----------
    device : str
        ``cpu`` or ``cuda``.
    device_bytes : int or None
        Memory of the device that arrays may have.
    """

    device: str
    device_bytes: int | None

    @property
    def lock(self) -> LockedRecipe:
        """The run's locked recipe."""

    def read(self) -> Reading:
        """Read the primary volume, into a spool where it goes in slabs; raises ``Rejected``."""

    def spool(self, shape: tuple[int, ...]) -> Spool:
        """Return a new spool that lives as long as the case."""

    def companions(self, volume: Volume) -> Companions:
        """Read the companions onto the volume's grid; raises ``Rejected``."""

    def store(self, key: str, reading: Reading, final: Volume | None, content_digest: str) -> dict[str, Any]:
        """Publish the stored volume under its product key; return its ``volumes`` fields."""

    def store_files(self, key: str, files: Iterable[tuple[str, bytes]]) -> str:
        """Publish files under a product key; return the path of their folder in the lake."""

    def scorer(self, digest: str) -> Scorer:
        """Return a loaded model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOrder:
    """A case as a sandbox gets it.

    Attributes
    ----------
    key, volume_key, route, source_version, numeric_class : str
    projected_bytes : int
    run, conditions : str
    tries : int
        Runs in a row, this one included, if it ends with a code that may pass.
    device_bytes : int
        Memory of a device that the whole volume is projected to need there; 0 on the CPU.
    fallback : Fallback or None
        Where the case may go if the device has no memory for it.
    content : Content or None
        Known from an earlier reading of the same files.
    committed : mapping of str to ProductRecord
        Products of this volume that are committed already.
    """

    key: str
    volume_key: str
    route: str
    source_version: str
    numeric_class: str
    projected_bytes: int
    run: str
    content: Content | None
    conditions: str = ""
    tries: int = 1
    device_bytes: int = 0
    fallback: Fallback | None = None
    committed: Mapping[str, ProductRecord] = field(default_factory=dict)
