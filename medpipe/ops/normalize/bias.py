"""Bias field correction of MR by N4, as SimpleITK has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from medpipe.contracts.protocols import Halo
from medpipe.errors import Rejected
from medpipe.kernels.intensity import varying
from medpipe.ops.frames import by_frame, frame_bytes, result_bytes
from medpipe.ops.itk import LIBRARY_BYTES, itk, one_thread
from medpipe.ops.normalize.foreground import foreground_of, quantitative, refuse_map
from medpipe.ops.parameters import parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of, to_device, to_numpy

_LEAST_VOXELS = 4
"""An axis is not shrunk below so many voxels."""

_ESTIMATE_BYTES = 45
"""What the library takes for each voxel of the image that the field is estimated from."""


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class N4:
    """Divides an MR by its bias field, estimated by N4 on a smaller image within the foreground of ``zscore``.

    The field is evaluated at every voxel. The arithmetic is SimpleITK's, on the host, on one thread.

    Notes
    -----
    N. J. Tustison et al., IEEE Trans. Med. Imaging 29 (2010) 1310-1320, doi:10.1109/TMI.2010.2046908.
    """

    name: ClassVar[str] = "n4"
    version: ClassVar[int] = 2
    uses_quantity: ClassVar[bool] = True
    library_bytes: ClassVar[int] = LIBRARY_BYTES

    shrink: int = parameter(4, doc="Factor by which the image is made smaller for the estimate.", low=1, high=16)
    levels: int = parameter(4, doc="Levels of the field, each twice as fine as the one before.", low=1, high=8)
    iterations: int = parameter(50, doc="Most iterations on each level.", low=1, high=1000)
    threshold: float = parameter(0.001, doc="Change of the field below which a level ends.", low=0.0, high=1.0)
    quantitative: bool = quantitative()

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # the field is one for all
        """Return None: the field is estimated from the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the foreground's search, or of image, mask, field, and what the smaller image needs."""
        by = _shrinking(geometry.spatial_shape, self.shrink)
        return result_bytes(geometry, beside=20) + frame_bytes(geometry, per_voxel=_ESTIMATE_BYTES) // math.prod(by)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:
        """Return the corrected volume; its unit stays.

        Raises
        ------
        Rejected
            ``E_CONSTANT`` if the foreground cannot be found or is constant, ``EMPTY_ROI`` if nothing
            in it is above 0, ``E_DIMENSIONS`` of a line or point, ``E_NONFINITE`` where a result is beyond float32,
            ``E_QUANTITATIVE`` for a map of a quantity.
        """
        refuse_map(volume, allowed=self.quantitative)
        spacing_mm = volume.geometry.spacing_mm or (1.0, 1.0, 1.0)

        def corrected(x: Array) -> Array:
            inside = to_numpy(foreground_of(volume, x, mask))
            field = self._field(to_numpy(x), inside, spacing_mm)
            xp = backend_of(x).xp
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and that is refused
                result = x / to_device(field, device=backend_of(x).device)
            if bool(xp.isinf(result).any()):
                raise Rejected("E_NONFINITE")
            return result

        return volume.with_data(by_frame(volume, corrected))

    def _field(
        self, x: np.ndarray[Any, Any], inside: np.ndarray[Any, Any], spacing_mm: tuple[float, float, float]
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return what an image is to be divided by."""
        # logarithms are of what is above 0
        with np.errstate(invalid="ignore"):
            inside = inside & np.isfinite(x) & (x > 0)
        varying(x, inside)  # the library makes any field of a constant
        with one_thread():
            return self._estimated(x, inside, spacing_mm)

    def _estimated(
        self, x: np.ndarray[Any, Any], inside: np.ndarray[Any, Any], spacing_mm: tuple[float, float, float]
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        sitk = itk()
        # the field's spline has no length along an axis of one voxel
        axes = [axis for axis, size in enumerate(x.shape) if size > 1]
        if len(axes) < 2:
            raise Rejected("E_DIMENSIONS")
        shape = [x.shape[axis] for axis in axes]
        plain = np.where(np.isfinite(x), x, np.float32(0.0)).astype(np.float32, copy=False)
        image, mask = (sitk.GetImageFromArray(array.reshape(shape)) for array in (plain, inside.astype(np.uint8)))
        del plain
        steps = [float(spacing_mm[axis]) for axis in reversed(axes)]
        image.SetSpacing(steps)
        mask.SetSpacing(steps)
        by = _shrinking(image.GetSize(), self.shrink)
        small, small_mask = sitk.Shrink(image, by), sitk.Shrink(mask, by)
        if not _varies(*(sitk.GetArrayViewFromImage(one) for one in (small, small_mask))):
            small, small_mask = image, mask
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        n4.SetMaximumNumberOfIterations([self.iterations] * self.levels)
        n4.SetConvergenceThreshold(self.threshold)
        n4.Execute(small, small_mask)
        logarithm = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))
        field: np.ndarray[Any, np.dtype[np.float32]] = np.exp(logarithm, out=logarithm).astype(np.float32, copy=False)
        return field.reshape(x.shape)


def _shrinking(sizes: Sequence[int], factor: int) -> list[int]:
    """Return by how much each axis is made smaller."""
    return [min(factor, max(size // _LEAST_VOXELS, 1)) for size in sizes]


def _varies(image: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> bool:
    values = image[mask != 0]
    return bool(values.size) and bool(values.min() < values.max())
