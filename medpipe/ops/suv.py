"""The uptake op: values of a PET as standardized uptake values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from medpipe.contracts.protocols import Halo
from medpipe.errors import Rejected
from medpipe.kernels.intensity import scale_planes
from medpipe.ops.frames import result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of

UptakeKind = Literal["bw", "lbm", "lbmjames128", "lbmjanma", "ibw", "bsa"]


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Suv:
    """Turns a PET into standardized uptake values, normalised to body weight, lean mass or surface.

    The factors come from the headers (docs/suv.md); the op stands first, since they are for values
    as they were read. The unit of the result is g/mL, of ``bsa`` cm2/mL.
    """

    name: ClassVar[str] = "suv"
    version: ClassVar[int] = 1
    must_be_first: ClassVar[bool] = True

    kind: UptakeKind = parameter(  # noqa: RUF009  # declares a field
        "bw",
        doc=(
            "What the uptake is normalised to: bw body weight; lbm, lbmjames128 and lbmjanma lean mass by James, "
            "James with 128, and Janmahasatian; ibw ideal weight; bsa body surface."
        ),
    )

    @property
    def unit(self) -> str:
        """Unit of the result."""
        return "cm2/mL" if self.kind == "bsa" else "g/mL"

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # voxel by voxel
        """Return no context."""
        return 0, 0, 0

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the float32 result and of planes in float64."""
        return result_bytes(geometry, beside=0) + 24 * math.prod(geometry.shape[-2:])

    def found(self, volume: Volume) -> tuple[float, ...] | str:
        """Return the factors of a volume, or the reason code why there are none."""
        return "E_SUV_UNITS" if volume.suv is None else volume.suv.by_kind[self.kind]

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # voxel by voxel
        """Return the uptake.

        Raises
        ------
        Rejected
            Why there are no factors (``E_SUV_...``), ``E_NONFINITE`` where a product is beyond float32.
        """
        factors = self.found(volume)
        if isinstance(factors, str):
            raise Rejected(factors)
        if len(factors) not in {1, math.prod(volume.geometry.shape[:-2])}:
            raise Rejected("E_SUV_MULTIFRAME")
        xp = backend_of(volume.data).xp
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and that is refused
            data = scale_planes(xp.asarray(volume.data, dtype=xp.float32), factors=factors)
        if any(bool(xp.isinf(plane).any()) for plane in data):
            raise Rejected("E_NONFINITE")
        return volume.with_data(data, unit=self.unit)
