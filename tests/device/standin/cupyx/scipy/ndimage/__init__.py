"""Filters, morphology and labels, by SciPy; what CuPy has no body for is refused.

Sums of :func:`correlate1d` and what is made of it are made in the precision in which CuPy makes them: that of the
image, where its weights are real.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage
from cupy._facts import bound, missing
from cupy._routines import demand
from cupy._ufuncs import named
from cupy._values import device_of, host_of, is_array

_WHOLE = "cupyx.scipy.ndimage"
_PLAIN = ("affine_transform", "center_of_mass", "convolve", "convolve1d", "correlate", "distance_transform_edt",
          "extrema", "find_objects", "fourier_gaussian", "gaussian_filter1d", "gaussian_laplace", "generate_binary_structure",
          "grey_closing", "grey_dilation", "grey_erosion", "grey_opening", "laplace", "map_coordinates", "maximum",
          "maximum_position", "mean", "minimum", "minimum_position", "prewitt", "shift", "spline_filter",
          "spline_filter1d", "standard_deviation", "sum", "sum_labels", "uniform_filter", "uniform_filter1d", "variance",
          "white_tophat", "zoom")  # fmt: skip
_ORDERING = ("maximum_filter", "maximum_filter1d", "median_filter", "minimum_filter", "minimum_filter1d",
             "percentile_filter", "rank_filter")  # fmt: skip
_BINARY = (
    "binary_closing",
    "binary_dilation",
    "binary_erosion",
    "binary_fill_holes",
    "binary_opening",
    "binary_propagation",
)
OPEN = -7.25e33
"""What is put where CuPy leaves a value open."""

_MODES = {"reflect": "symmetric", "nearest": "edge", "mirror": "reflect", "wrap": "wrap", "constant": "constant"}


def label(*args: Any, **kwargs: Any) -> Any:
    given = bound(_WHOLE, "label", args, kwargs)
    demand("label", given["input"])
    # a structure of the host is welcome: CuPy brings one of the device back
    structure = given.get("structure")
    if is_array(structure):
        structure = structure.get()
    output = given.get("output")
    labels, count = scipy.ndimage.label(given["input"]._host, structure)
    if structure is not None and any(size != 3 for size in np.shape(structure)):
        raise ValueError("structure dimensions must be equal to 3")
    if is_array(output):
        output._host[...] = labels
        return count
    return device_of(labels.astype(output or np.int32)), count


def correlate1d(*args: Any, **kwargs: Any) -> Any:
    given = bound(_WHOLE, "correlate1d", args, kwargs)
    x, weights, axis = given["input"], given["weights"], given.get("axis", -1)
    demand("correlate1d", x, weights)
    if given.get("origin"):
        raise missing(_WHOLE, "correlate1d(origin)")
    kind = np.dtype(np.float64) if weights.dtype.kind in "iub" else np.promote_types(x.dtype, np.float32)
    return _stored(_summed(x._host, weights._host, axis, kind, given), x, given.get("output"))


def gaussian_filter(*args: Any, **kwargs: Any) -> Any:
    given = bound(_WHOLE, "gaussian_filter", args, kwargs)
    x, sigma = given["input"], given["sigma"]
    demand("gaussian_filter", x)
    if given.get("order") or given.get("radius") or given.get("axes"):
        raise missing(_WHOLE, "gaussian_filter(order, radius, axes)")
    kind, made = np.promote_types(x.dtype, np.float32), x._host
    output = given.get("output")
    between = x.dtype if output is None else output.dtype if is_array(output) else np.dtype(output)
    for axis, one in enumerate([sigma] * x.ndim if np.isscalar(sigma) else sigma):
        radius = int(float(given.get("truncate", 4.0)) * float(one) + 0.5)
        if one > 1e-15 and radius > 0:
            taps = np.exp(-0.5 / float(one) ** 2 * np.arange(-radius, radius + 1) ** 2)
            made = _summed(made, taps / taps.sum(), axis, kind, given).astype(between)
    return _stored(made, x, output)


def sobel(*args: Any, **kwargs: Any) -> Any:
    given = bound(_WHOLE, "sobel", args, kwargs)
    x = given["input"]
    demand("sobel", x)
    kind, made = np.promote_types(x.dtype, np.float32), x._host
    for axis in range(x.ndim):
        taps = [-1.0, 0.0, 1.0] if axis == given.get("axis", -1) % x.ndim else [1.0, 2.0, 1.0]
        made = _summed(made, np.array(taps), axis, kind, given).astype(x.dtype)
    return _stored(made, x, given.get("output"))


def _summed(host: Any, weights: Any, axis: int, kind: np.dtype[Any], given: dict[str, Any]) -> Any:
    """Return the sum of weighted neighbours along an axis, one after the other, in one precision."""
    half, n = weights.size // 2, host.shape[axis]
    widths = [(half, weights.size - 1 - half) if place == axis % host.ndim else (0, 0) for place in range(host.ndim)]
    mode = _MODES[given.get("mode", "reflect")]
    wide = np.pad(
        host.astype(kind), widths, mode, **({"constant_values": given.get("cval", 0.0)} if mode == "constant" else {})
    )
    result = np.zeros(host.shape, kind)
    for place, weight in enumerate(weights.astype(kind)):
        result += weight * np.moveaxis(np.moveaxis(wide, axis, 0)[place : place + n], 0, axis)
    return result


def _stored(made: Any, x: Any, output: Any) -> Any:
    if is_array(output):
        output._host[...] = made.astype(output.dtype)
        return output
    return device_of(np.ascontiguousarray(made.astype(x.dtype if output is None else np.dtype(output))))


def _binary(name: str) -> Any:
    def called(*args: Any, **kwargs: Any) -> Any:
        given = bound(_WHOLE, name, args, kwargs)
        demand(name, given["input"])
        structure = given.get("structure")
        if structure is not None and not is_array(structure) and not isinstance(structure, tuple):
            raise TypeError(
                f"{name}: a structure is an array of the device or the shape of a block, not {type(structure)}"
            )
        if isinstance(structure, tuple):
            given["structure"] = np.ones(structure, bool)
        elif structure is None:
            structure = np.ones(1)
        times, is_brute = given.get("iterations", 1), given.pop("brute_force", False)
        centre = is_array(structure) and not structure._host[tuple(size // 2 for size in structure.shape)]
        if times != 1 and not centre and not is_brute and name != "binary_fill_holes":
            raise NotImplementedError("only brute_force iteration has been implemented")
        output = given.pop("output", None)
        made = getattr(scipy.ndimage, name)(**{key: host_of(value) for key, value in given.items()})
        if not is_array(output):
            return device_of(made)
        output._host[...] = made
        return output

    return called


def _ordering(name: str) -> Any:
    def called(*args: Any, **kwargs: Any) -> Any:
        given = bound(_WHOLE, name, args, kwargs)
        demand(name, given["input"])
        made = named(_WHOLE, name, getattr(scipy.ndimage, name))
        missing_ones = np.isnan(given["input"]._host) if given["input"].dtype.kind == "f" else np.zeros(1, bool)
        if not missing_ones.any():
            return made(*args, **kwargs)
        # where NaN stands among what is ordered, CuPy leaves open what comes out: here a value that no image has
        around = {key: host_of(given[key]) for key in ("size", "footprint", "mode", "axis") if key in given}
        of_ones = scipy.ndimage.maximum_filter1d if name.endswith("1d") else scipy.ndimage.maximum_filter
        spread = of_ones(missing_ones.astype(np.uint8), **around)
        result = made(**given | {"input": device_of(np.where(missing_ones, 0, given["input"]._host))})
        result._host[spread > 0] = OPEN
        return result

    return called


def _plain(name: str) -> Any:
    def called(*args: Any, **kwargs: Any) -> Any:
        given = bound(_WHOLE, name, args, kwargs)
        if name != "generate_binary_structure":
            demand(name, given["input"])
        output = given.get("output")
        if not is_array(output):
            return named(_WHOLE, name, getattr(scipy.ndimage, name))(*args, **kwargs)
        del given["output"]
        output._host[...] = getattr(scipy.ndimage, name)(**{key: host_of(value) for key, value in given.items()})
        return output

    return called


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    for known, made in ((_PLAIN, _plain), (_ORDERING, _ordering), (_BINARY, _binary)):
        if name in known:
            return made(name)
    raise missing(_WHOLE, name)
