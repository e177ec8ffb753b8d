"""How good a whole image is: the row of a table that tells which images of an archive to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from medpipe.errors import Rejected
from medpipe.kernels import noise, quality
from medpipe.kernels.foreground import foreground
from medpipe.ops.frames import frame_bytes, mean_bytes, mean_frame
from medpipe.ops.padding import padded_frame, padding_bytes
from medpipe.ops.regions.body import hull
from medpipe.ops.register import register
from medpipe.ops.unstandardized import Unstandardized
from medpipe.types import Array, Column, Geometry, Region, Volume
from medpipe.xp import backend_of

_CT_ABOVE_HU = -500.0
_CT_OPENING_MM = 2.0

_OF_PARTS: tuple[tuple[str, str, float, float], ...] = (
    ("share", "1", 0.0, 1.0),
    ("mean", "image", math.nan, math.nan),
    ("sd", "image", 0.0, math.nan),
    ("median", "image", math.nan, math.nan),
    ("mad", "image", 0.0, math.nan),
    ("p05", "image", math.nan, math.nan),
    ("p95", "image", math.nan, math.nan),
)

_COLUMNS: tuple[tuple[str, str, float, float], ...] = (
    ("missing", "1", 0.0, 1.0),
    ("padding", "1", 0.0, 1.0),
    ("at_min", "1", 0.0, 1.0),
    ("at_max", "1", 0.0, 1.0),
    *((f"fg_{name}", unit, low, high) for name, unit, low, high in _OF_PARTS),
    *((f"bg_{name}", unit, low, high) for name, unit, low, high in _OF_PARTS),
    ("noise_detail", "image", 0.0, math.nan),
    ("noise_laplace", "image", 0.0, math.nan),
    ("noise_air", "image", 0.0, math.nan),
    ("snr", "1", math.nan, math.nan),
    ("snr_air", "1", 0.0, math.nan),
    ("cnr", "1", 0.0, math.nan),
    ("cjv", "1", 0.0, math.nan),
    ("efc", "1", 0.0, 1.0),
    ("fber", "1", 0.0, math.nan),
    ("artefact", "1", 0.0, 1.0),
    ("laplacian_var", "image^2", 0.0, math.nan),
    ("gradient_mean", "image", 0.0, math.nan),
    ("fwhm_z", "mm", 0.0, math.nan),
    ("fwhm_y", "mm", 0.0, math.nan),
    ("fwhm_x", "mm", 0.0, math.nan),
    ("tsnr", "1", math.nan, math.nan),
)
"""Columns without their prefix: name, unit, range."""


@register("features")
@dataclass(frozen=True, slots=True, kw_only=True)
class Quality(Unstandardized):
    """Measures the whole image: noise, contrast, sharpness, clipping, structure in the air; the region is its foreground.

    With the region ``whole`` the foreground is found: in CT the largest body above -500 HU, in all
    else what stands out by Otsu's threshold. The background is what is more than two voxels away
    from it. Of an image with a leading axis the mean over it is measured; shares at the ends are
    those of all its values, and ``qc_tsnr`` is over time. Voxels that are not finite, or that the
    header calls padding, count in their own shares and nowhere else.

    Notes
    -----
    ``qc_missing``, ``qc_padding``
        Shares of voxels that are not finite, and that the header calls padding.
    ``qc_at_min``, ``qc_at_max``
        Shares of values that equal the least and the greatest one: large where an image was clipped.
    ``qc_fg_*``, ``qc_bg_*``
        Share, mean, standard deviation, median, median deviation from it, percentiles 5 and 95.
    ``qc_noise_detail``, ``qc_noise_laplace``, ``qc_noise_air``
        Standard deviation of noise: from the finest wavelet details, from Immerkær's mask in slices,
        from air (of images without values below 0).
    ``qc_snr``, ``qc_snr_air``
        Median of the foreground over its standard deviation (sample), and over that of the background
        as magnitudes have it (Dietrich; of images without values below 0).
    ``qc_cnr``, ``qc_cjv``
        Difference of the means over the background's standard deviation; sum of the median deviations
        over the difference of the medians.
    ``qc_efc``, ``qc_fber``
        Entropy-focus criterion; median energy of the foreground over that of the background. Both
        of values from the least one, where that is below 0.
    ``qc_artefact``
        Share of the background that stands out in patches: ghosts, wrapped parts, the couch.
    ``qc_laplacian_var``, ``qc_gradient_mean``, ``qc_fwhm_*``
        Variance of the Laplacian and mean gradient in slices, per pixel; smoothness of the foreground.
    """

    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 1
    uses_padding: ClassVar[bool] = True

    @property
    def columns(self) -> tuple[Column, ...]:
        """``qc_missing`` to ``qc_tsnr``."""
        return tuple(
            Column(name=f"qc_{name}", family="quality", unit=unit, low=low, high=high)
            for name, unit, low, high in _COLUMNS
        )

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the mean over frames, of padding, of the search for a foreground, and of some planes."""
        _, y, x = geometry.spatial_shape
        in_time = 0 if len(geometry.shape) == 3 else frame_bytes(geometry, per_voxel=24)
        beside = mean_bytes(geometry) + padding_bytes(geometry) + in_time
        return beside + frame_bytes(geometry, per_voxel=14) + 100 * y * x + 2**20

    def __call__(self, volume: Volume, region: Region) -> Mapping[str, float]:
        """Return a value for every column; all NaN for an empty region.

        Raises
        ------
        Rejected
            ``E_GRID`` for a mask of another shape.
        """
        if region.bits.shape != volume.geometry.spatial_shape:
            raise Rejected("E_GRID")
        found = dict.fromkeys([name for name, *_ in _COLUMNS], math.nan)
        if region.bits.box is not None:
            found |= _measured(volume, region)
        return {f"qc_{name}": value if math.isfinite(value) else math.nan for name, value in found.items()}


def _measured(volume: Volume, region: Region) -> dict[str, float]:
    xp = backend_of(volume.data).xp
    x = mean_frame(volume)
    frames = volume.data if volume.data.ndim == 4 else volume.data[None]
    finite = xp.isfinite(x)
    padded = padded_frame(volume)
    found = {
        "missing": 1.0 - int(finite.sum()) / x.size,
        "padding": 0.0 if padded is None else int(padded.sum()) / x.size,
    }
    known = finite if padded is None else finite & ~padded
    count = int(known.sum())
    if not count:
        return found
    found["at_min"], found["at_max"] = quality.end_shares(frames, left_out=padded)
    if count < x.size:
        x = xp.where(known, x, xp.float32(math.nan))
    found["noise_detail"] = _detail_noise(x)
    magnitudes = float(xp.nanmin(x)) >= 0.0
    if magnitudes:
        air = noise.air_noise(x)
        found["noise_air"] = math.nan if air is None else air
    found["noise_laplace"], found["laplacian_var"], found["gradient_mean"] = quality.sharpness(x)
    found["efc"] = quality.entropy_focus(x)
    inside = _foreground(volume, x, region) & known
    found |= _parts(x, known, inside, count, magnitudes=magnitudes)
    found |= _smoothness(volume.geometry, x, inside, found["fg_sd"])
    if volume.geometry.axes == "tzyx":
        found["tsnr"] = quality.steadiness(volume.data, x, inside)
    return found


def _detail_noise(x: Array) -> float:
    try:
        return noise.detail_noise(x)
    except Rejected:
        return 0.0


def _foreground(volume: Volume, x: Array, region: Region) -> Array:
    """Return the region, or what stands out of the image if the region is all of it."""
    xp = backend_of(x).xp
    if region.bits.n_voxels < x.size:
        return xp.asarray(region.mask)
    try:
        if volume.modality != "CT":
            return foreground(x)
        opening_mm = _CT_OPENING_MM if volume.geometry.spacing_mm is not None else 0.0
        return hull(x, ct=True, above_hu=_CT_ABOVE_HU, opening_mm=opening_mm, geometry=volume.geometry)
    except Rejected:
        return xp.zeros(x.shape, dtype=bool)


def _parts(x: Array, known: Array, inside: Array, count: int, *, magnitudes: bool) -> dict[str, float]:
    """Return how foreground and background are spread, and what they say together."""
    xp = backend_of(x).xp
    n_inside = int(inside.sum())
    fg = quality.spread(x[inside])
    air = quality.background(known, inside)
    n_air = int(air.sum())
    bg = quality.spread(x[air])
    found = {"fg_share": n_inside / count, "bg_share": n_air / count}
    found |= {f"fg_{name}": value for name, value in fg._asdict().items()}
    found |= {f"bg_{name}": value for name, value in bg._asdict().items()}
    found["artefact"] = quality.structure_share(x, air, median=bg.median, mad=bg.mad)
    sample_sd = fg.sd * math.sqrt(n_inside / (n_inside - 1)) if n_inside > 1 else math.nan
    found["snr"] = _ratio(fg.median, sample_sd)
    if magnitudes:
        found["snr_air"] = quality.RAYLEIGH_SPREAD * _ratio(fg.median, bg.sd)
    found["cnr"] = _ratio(abs(fg.mean - bg.mean), bg.sd)
    found["cjv"] = _ratio(fg.mad + bg.mad, abs(fg.median - bg.median))
    floor = min(float(xp.nanmin(x)), 0.0)
    # medians of what is 0 and above: the energy of the median is the median of the energies
    found["fber"] = _ratio((fg.median - floor) ** 2, (bg.median - floor) ** 2)
    return found


def _smoothness(geometry: Geometry, x: Array, inside: Array, sd: float) -> dict[str, float]:
    if geometry.spacing_mm is None:
        return {}
    return {
        f"fwhm_{letter}": step * quality.smoothness(x, inside, variance=sd**2, axis=axis)
        for axis, (letter, step) in enumerate(zip("zyx", geometry.spacing_mm, strict=True))
    }


def _ratio(over: float, under: float) -> float:
    return over / under if under > 0.0 else math.nan
