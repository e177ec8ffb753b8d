"""The search for the rigid map under which two images tell most of each other (SimpleITK).

Mattes' mutual information (doi:10.1109/TMI.2003.809072) of 50 bins, on a regular sample with a
fixed seed, in one thread: the same images give the same map. Averaged voxels of three sizes are
searched one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medpipe.ops.itk import itk, one_thread
from medpipe.types import Volume

Matrix = NDArray[np.float64]

LARGEST_SAMPLE = 120_000
"""Voxels of an image that are looked at in each step of the search."""

_LEVELS = (4, 2, 1)
_BINS = 50
_SEED = 20_251
_STEPS = 300
_AGAIN = 4
_HARDLY = 1e-4
"""Gain in nats that is none."""

_ANGLE_DIGITS, _LENGTH_DIGITS = 7, 5
"""Digits of radians and mm that are kept: what lies beyond differs between hosts."""


class Found(NamedTuple):
    """A rigid map (4, 4) from LPS mm of one image to those of another, and mutual information before and after."""

    matrix: Matrix
    before: float
    after: float


def search(image: Volume, other: Volume, *, work_mm: float) -> Found | None:
    """Return the best rigid map that is found from several starts, or None if there is none.

    Parameters
    ----------
    image, other : Volume
        (z, y, x) on the host, with axes at right angles. Missing voxels count as the least value.
    work_mm : float
        Voxel size of the last level.
    """
    with one_thread():
        return _search(_to_itk(image), _to_itk(other), work_mm)


def _search(fixed: Any, moving: Any, work_mm: float) -> Found | None:
    coarse, *finer = [(_averaged(fixed, size), _averaged(moving, size)) for size in (n * work_mm for n in _LEVELS)]
    step_mm = work_mm * _LEVELS[0]
    starts = [(value, start) for start in _starts(*coarse) if (value := _information(*coarse, start)) is not None]
    tried = [(_optimised(*coarse, start, step_mm=step_mm), start) for _, start in starts]
    ended = [
        (value, place, one, start)
        for place, (one, start) in enumerate(tried)
        if one is not None and (value := _information(*coarse, one)) is not None
    ]
    if not ended:
        return None
    _, _, best, start = max(ended, key=lambda each: (each[0], -each[1]))
    for size, pair in zip(_LEVELS[1:], finer, strict=True):
        best = _climbed(*pair, best, step_mm=work_mm * size)
    best = _rounded(best)
    before, after = (_information(*finer[-1], one) for one in (start, best))
    return None if after is None else Found(_matrix(best), before or 0.0, after)


def _climbed(fixed: Any, moving: Any, start: Any, *, step_mm: float) -> Any:
    """Return the best map found from a start by searching again, with smaller steps, as long as that helps."""
    best, value = start, _information(fixed, moving, start)
    for part in range(_AGAIN):
        one = _optimised(fixed, moving, best, step_mm=step_mm / 2**part)
        reached = None if one is None else _information(fixed, moving, one)
        if reached is None or (value is not None and reached <= value + _HARDLY):
            break
        best, value = one, reached
    return best


def _to_itk(volume: Volume) -> Any:
    sitk = itk()
    matrix = volume.geometry.matrix
    assert matrix is not None, "only images with a place are registered"
    values = np.asarray(volume.data, dtype=np.float32)
    known = np.isfinite(values)
    if not known.all():
        values = np.where(known, values, values.min(where=known, initial=np.inf)).astype(np.float32)
    found = sitk.GetImageFromArray(values)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    # right angles to the last bit, which ITK insists on
    left, _, right = np.linalg.svd(matrix[:3, :3] / spacing)
    found.SetSpacing([float(step) for step in spacing])
    found.SetOrigin([float(place) for place in matrix[:3, 3]])
    found.SetDirection([float(value) for value in (left @ right).reshape(-1)])
    return found


def _averaged(one: Any, size_mm: float) -> Any:
    sitk = itk()
    factors = [
        max(1, min(int(size_mm / step + 1e-6), voxels // 4))
        for step, voxels in zip(one.GetSpacing(), one.GetSize(), strict=True)
    ]
    if max(factors) == 1:
        return one
    shrinking = sitk.BinShrinkImageFilter()
    shrinking.SetShrinkFactors(factors)
    return shrinking.Execute(one)


def _starts(fixed: Any, moving: Any) -> Iterator[Any]:
    """Yield maps to start from: as the images lie, centre on centre, centre of mass on centre of mass."""
    sitk = itk()
    middle = fixed.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2.0 for size in fixed.GetSize()])
    plain = sitk.Euler3DTransform()
    plain.SetCenter(middle)
    yield plain
    kinds = sitk.CenteredTransformInitializerFilter
    for kind in (kinds.GEOMETRY, kinds.MOMENTS):
        try:
            made = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), kind)
        except RuntimeError:
            continue  # no mass to take the centre of
        start = sitk.Euler3DTransform()
        start.SetCenter(middle)
        centre, shift = np.array(made.GetFixedParameters()[:3]), np.array(made.GetParameters()[3:])
        if np.isfinite([*centre, *shift]).all():
            start.SetTranslation([float(value) for value in shift])
            yield start


def _method(fixed: Any, *, is_whole: bool) -> Any:
    sitk = itk()
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=_BINS)
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    method.SetInterpolator(sitk.sitkLinear)
    share = min(1.0, LARGEST_SAMPLE / max(1, math.prod(fixed.GetSize())))
    if share < 1.0 or not is_whole:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(share, seed=_SEED)
    return method


def _information(fixed: Any, moving: Any, transform: Any) -> float | None:
    """Return the mutual information of two images under a map, or None if they have nothing in common."""
    method = _method(fixed, is_whole=True)
    method.SetInitialTransform(transform, inPlace=False)
    try:
        value = -float(method.MetricEvaluate(fixed, moving))
    except RuntimeError:
        return None
    return value if math.isfinite(value) else None


def _optimised(fixed: Any, moving: Any, start: Any, *, step_mm: float) -> Any:
    sitk = itk()
    method = _method(fixed, is_whole=False)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=step_mm,
        minStep=step_mm * 1e-3,
        numberOfIterations=_STEPS,
        relaxationFactor=0.8,
        gradientMagnitudeTolerance=1e-10,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    moved = sitk.Euler3DTransform(start)
    method.SetInitialTransform(moved, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:
        return None
    return moved if np.isfinite(moved.GetParameters()).all() else None


def _rounded(transform: Any) -> Any:
    sitk = itk()
    found = sitk.Euler3DTransform(transform)
    angles = [round(value, _ANGLE_DIGITS) for value in transform.GetParameters()[:3]]
    shift = [round(value, _LENGTH_DIGITS) for value in transform.GetParameters()[3:]]
    found.SetParameters([*angles, *shift])
    return found


def _matrix(transform: Any) -> Matrix:
    turn = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = np.array(transform.GetTranslation()) + centre - turn @ centre
    return matrix
