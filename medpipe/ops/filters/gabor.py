"""Gabor filters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from medpipe.contracts.protocols import Halo
from medpipe.errors import ConfigError
from medpipe.kernels.fourier import fast_length
from medpipe.kernels.waves import Wave, gabor
from medpipe.ops.filters.response import BOUNDARY_DOC, as_map, tag_of
from medpipe.ops.frames import by_frame, known_spacing, result_bytes
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Gabor:
    """Gives the modulus of the response to waves under a Gaussian, in one direction or in all (IBSI 2, Q88H).

    Filters are two-dimensional; in space, responses in the three planes of the axes are averaged. Missing voxels stay
    missing and count as the mean of their plane, as far as it is filtered. Refuses a volume without spacing.
    """

    name: ClassVar[str] = "gabor"
    version: ClassVar[int] = 1
    ibsi: ClassVar[str] = "Q88H"

    sigma_mm: float = parameter(doc="Standard deviation of the Gaussian.", unit="mm", low=0.001, high=100.0)
    wavelength_mm: float = parameter(doc="Length of the wave.", unit="mm", above=0.0, high=1000.0)
    gamma: float = parameter(1.0, doc="Standard deviation along the wave over that across it.", low=0.05, high=20.0)
    theta_deg: float = parameter(
        0.0, doc="Direction of the wave in the slice, from x to y.", unit="degree", low=0.0, high=360.0
    )
    theta_step_deg: float | None = parameter(
        None,
        doc="Step to the next of the directions all round that are pooled, a part of 360; one direction if absent.",
        unit="degree",
        low=1.0,
        high=180.0,
    )
    pooling: Literal["max", "mean"] = parameter("mean", doc="How responses in directions are pooled.")
    by_slice: bool = parameter(
        default=False, doc="In the planes of slices alone, and not in the three planes of the axes."
    )
    boundary: Literal["constant", "nearest", "wrap", "reflect"] = parameter("reflect", doc=BOUNDARY_DOC)

    def __post_init__(self) -> None:
        """Refuse a step that does not lead round."""
        if self.theta_step_deg is not None and abs(360.0 / self.theta_step_deg - self._directions) > 1e-9:
            raise ConfigError(f"theta_step_deg: {self.theta_step_deg:g} does not go into 360")

    @property
    def tag(self) -> str:
        """What the names of its columns begin with."""
        said = [f"{letter}{value:.10g}" for letter, value in zip("sgl", self._sizes, strict=True)]
        around = ("step", self.theta_step_deg, self.pooling) if self.theta_step_deg is not None else ()
        return tag_of(
            "gabor", *said, f"t{self.theta_deg:.10g}", *around, by_slice=self.by_slice, boundary=self.boundary
        )

    @property
    def _sizes(self) -> tuple[float, float, float]:
        return self.sigma_mm, self.gamma, self.wavelength_mm

    @property
    def _directions(self) -> int:
        return 1 if self.theta_step_deg is None else round(360.0 / self.theta_step_deg)

    @property
    def _wave(self) -> Wave:
        angles = tuple(self.theta_deg + place * (self.theta_step_deg or 0.0) for place in range(self._directions))
        return Wave(sigma_mm=self.sigma_mm, wavelength_mm=self.wavelength_mm, gamma=self.gamma, angles_deg=angles)

    def context(self, geometry: Geometry) -> Halo | None:
        """Return how far the kernels look; as much as for a block where the image starts anew at its ends."""
        if geometry.spacing_mm is None or self.boundary == "wrap":
            return self.halo(geometry)
        z, y, x = (self._wave.reach(step) for step in geometry.spacing_mm)
        return (0 if self.by_slice else z), y, x

    def halo(self, geometry: Geometry) -> Halo | None:
        """Return whole slices, or None for the three planes: a transform is one of whole planes to the last bit."""
        if geometry.spacing_mm is None or not self.by_slice:
            return None
        _, y, x = geometry.spatial_shape
        return 0, y, x

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, and of the kernels and spectra of a plane."""
        if geometry.spacing_mm is None:
            return 0
        wide = [
            fast_length(n + 2 * self._wave.reach(step))
            for n, step in zip(geometry.spatial_shape, geometry.spacing_mm, strict=True)
        ]
        planes = [wide[1] * wide[2]] if self.by_slice else [math.prod(wide) // side for side in wide]
        kernels = len({angle % 180.0 for angle in self._wave.angles_deg})
        rows, columns = (2 * self._wave.reach(step) + 1 for step in self._finest(geometry.spacing_mm))
        made = max(planes) * (4 * kernels + 48) + 24 * rows * columns
        return result_bytes(geometry, beside=0) + made + 2**16

    def _finest(self, spacing_mm: tuple[float, float, float]) -> tuple[float, float]:
        """Return the two steps of the plane with the largest kernel."""
        first, second = spacing_mm[1:] if self.by_slice else sorted(spacing_mm)[:2]
        return first, second

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # the whole image is filtered
        """Return the response map.

        Raises
        ------
        Rejected
            ``E_SPACING`` if the spacing is not known.
        """
        spacing_mm = known_spacing(volume.geometry)
        return as_map(
            volume,
            by_frame(
                volume,
                lambda x: gabor(
                    x,
                    wave=self._wave,
                    spacing_mm=spacing_mm,
                    by_slice=self.by_slice,
                    pooling=self.pooling,
                    boundary=self.boundary,
                ),
            ),
        )
