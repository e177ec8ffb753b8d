"""Settings of pyradiomics one by one: which parameter each is, and what to know about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from medpipe.ops.corner_grid import ITK_INTERPOLATORS

_NUMBERED: Final = dict(enumerate(ITK_INTERPOLATORS.values(), start=1))
"""Interpolators by the numbers of SimpleITK."""


@dataclass(slots=True)
class Given:
    """What settings add up to.

    Attributes
    ----------
    parameters : dict
        Of the extractor.
    regions : dict
        The source of regions.
    is_flat, flat_axis : bool, int
        ``force2D`` and ``force2Ddimension``.
    interpolates, normalizes : bool
        Whether there is an interpolator, and ``normalize``.
    """

    parameters: dict[str, Any]
    regions: dict[str, Any]
    is_flat: bool = False
    flat_axis: int = 0
    interpolates: bool = True
    normalizes: bool = False

    def settled(self) -> dict[str, Any]:
        """Return the parameters without those that others make void."""
        given = dict(self.parameters)
        if self.is_flat:
            given["force_2d"] = "zyx"[self.flat_axis]
        if not self.interpolates:
            given.pop("resample_mm", None)
        if "bins" in given:
            given.pop("bin_width", None)
        if not self.normalizes:
            for name in ("normalize_scale", "outlier_limit"):
                given.pop(name, None)
        if "resample_mm" not in given:
            given.pop("interpolator", None)
            given.pop("pad_voxels", None)
        return given


Taken = Callable[[Any, Given], str]
"""Takes a value over and says what became of it; any error says that it is none of the setting."""


def _number(value: Any) -> float:
    # 1e-3 is text in YAML 1.1 and a number in 1.2
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    return float(value)


def _count(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _numbers(value: Any) -> list[float]:
    if not isinstance(value, list):
        raise TypeError
    return [_number(one) for one in value]


def _plain(parameter: str, read: Callable[[Any], Any], said: str) -> Taken:
    def take(value: Any, found: Given) -> str:
        found.parameters[parameter] = read(value)
        return f"{parameter}{said}"

    return take


def _resampled(value: Any, found: Given) -> str:
    steps = _numbers(value)
    if len(steps) not in (2, 3):
        raise ValueError
    # a plane has no third axis
    z, y, x = (*reversed(steps),) if len(steps) == 3 else (0.0, *reversed(steps))
    if any((z, y, x)):
        found.parameters["resample_mm"] = [z, y, x]
    return "resample_mm, z first; differs: IBSI's grid shares the centre of the image, and masks are linear"


def _interpolator(value: Any, found: Given) -> str:
    if value is None:
        found.interpolates = False
        return "without one nothing is resampled"
    wanted = value if isinstance(value, str) else _NUMBERED[_count(value)]
    found.parameters["interpolator"] = {name: own for own, name in ITK_INTERPOLATORS.items()}[wanted]
    return "interpolator"


def _force_2d(value: Any, found: Given) -> str:
    found.is_flat = _flag(value)
    return (
        "force_2d; matrices of slices are merged, as the aggregation 2_5D of IBSI"
        if found.is_flat
        else "at its default"
    )


def _flat_axis(value: Any, found: Given) -> str:
    found.flat_axis = _count(value)
    if found.flat_axis not in (0, 1, 2):
        raise ValueError
    return f"force_2d = {'zyx'[found.flat_axis]!r} where force2D is set"


def _normalized(value: Any, found: Given) -> str:
    found.normalizes = found.parameters["normalize"] = _flag(value)
    return "normalize; differs: the standard has no such step"


def _range(value: Any, found: Given) -> str:
    found.parameters["range"] = _numbers(value)
    return (
        "range; differs: the shape is cut off by the box of what is left, and IBSI's bins would begin at its lower end"
    )


def _corrected(value: Any, found: Given) -> str:
    if not _flag(value):
        return "at its default"
    found.regions["resample"] = True
    return "resample of the regions: masks on another grid take the nearest voxel"


SETTINGS: Final[dict[str, Taken]] = {
    "binWidth": _plain("bin_width", _number, "; differs: IBSI's bins begin at the lower end of a range"),
    "binCount": _plain("bins", _count, "; goes before binWidth"),
    "normalize": _normalized,
    "normalizeScale": _plain("normalize_scale", _number, " where normalize is set"),
    "removeOutliers": _plain("outlier_limit", _number, " where normalize is set"),
    "resampledPixelSpacing": _resampled,
    "interpolator": _interpolator,
    "padDistance": _plain("pad_voxels", _count, "; counts where samples of a mask lie half-way between its voxels"),
    "distances": _plain("distances", lambda value: [_count(one) for one in value], "; differs from IBSI beyond 1"),
    "force2D": _force_2d,
    "force2Ddimension": _flat_axis,
    "resegmentRange": _range,
    "resegmentMode": _plain("range_mode", str, "; IBSI's outliers are 'sigma' with both signs"),
    "resegmentShape": _plain("range_shape", _flag, ""),
    "minimumROIDimensions": _plain("least_dimensions", _count, "; smaller regions are rows with SMALL_ROI"),
    "minimumROISize": _plain("least_voxels", _count, "; smaller regions are rows with SMALL_ROI"),
    "correctMask": _corrected,
    "symmetricalGLCM": _plain("symmetric", _flag, "; IBSI's matrices are symmetric"),
    "weightingNorm": _plain("weighting", str, "; matrices are merged, which IBSI does without weights"),
    "gldm_a": _plain("gldm_within", _count, "; IBSI's reference values are for 0"),
    "voxelArrayShift": _plain("energy_shift", _number, "; differs: IBSI's energy has no shift"),
}
"""Settings that are parameters."""

ELSEWHERE: Final[dict[str, str]] = {
    "label": "a recipe measures each value of a mask; --label of medpipe features, or the column Label of a case list, "
    "takes one",
    "label_channel": "each segment of a mask is a region of its own",
    "geometryTolerance": "images and masks are held against each other by medpipe's own rules",
}
"""Settings that a recipe does not have."""

WITHOUT_EFFECT: Final[dict[str, str]] = {
    "preCrop": "changes no number of an image without a filter",
    "additionalInfo": "what it would add stands in the tables volumes, regions and feature_dictionary",
    "enableCExtensions": "a setting of old versions",
    "verbose": "a setting of old versions",
}
"""Settings that change nothing here."""

FILTER_SETTINGS: Final[dict[str, str]] = {
    "sigma": "LoG",
    "start_level": "Wavelet",
    "level": "Wavelet",
    "wavelet": "Wavelet",
    "gradientUseSpacing": "Gradient",
    "lbp2DRadius": "LBP2D",
    "lbp2DSamples": "LBP2D",
    "lbp2DMethod": "LBP2D",
    "lbp3DLevels": "LBP3D",
    "lbp3DIcosphereRadius": "LBP3D",
    "lbp3DIcosphereSubdivision": "LBP3D",
}
"""Settings of filters, with the image type they are for."""


def _log(settings: Mapping[str, Any]) -> str:
    sigmas = ", ".join(f"{sigma:g}" for sigma in _numbers(settings.get("sigma") or [])) or "none given"
    return f"the standard's filter of this kind is laplacian_of_gaussian, sigma_mm {sigmas}: not scaled by sigma^2"


def _wavelet(settings: Mapping[str, Any]) -> str:
    name, first, count = (settings.get(key, default) for key, default in _WAVELET_DEFAULTS.items())
    levels = ", ".join(str(1 + _count(first) + level) for level in range(_count(count)))
    return (
        f"the standard's filter of this kind is separable_wavelet, wavelet {name}, level {levels}, one for each of the "
        "eight passes LLL to HHH"
    )


def _without(said: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda _: said


_WAVELET_DEFAULTS: Final = {"wavelet": "coif1", "start_level": 0, "level": 1}
_NO_FILTER: Final = "no filter of the standard, nor an op"

FILTERS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "Original": _without("the image without a filter"),
    "LoG": _log,
    "Wavelet": _wavelet,
    "Square": _without(_NO_FILTER),
    "SquareRoot": _without(_NO_FILTER),
    "Logarithm": _without(_NO_FILTER),
    "Exponential": _without(_NO_FILTER),
    "Gradient": _without(_NO_FILTER),
    "LBP2D": _without("op lbp counts the patterns of a region; no image is made of them"),
    "LBP3D": _without(_NO_FILTER),
}
"""Image types, with what to know of each where it is a filter; settings are those of the type and, before it, of all."""
