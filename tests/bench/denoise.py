"""Denoisers on a crop of about a million voxels."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet

from medpipe.kernels.diffusion import adaptive_diffusion
from medpipe.kernels.gaussian import TRUNCATE, gaussian
from medpipe.kernels.median import median
from medpipe.kernels.nlm import non_local_means
from medpipe.kernels.total_variation import total_variation
from medpipe.kernels.wavelet import bayes_shrink
from tests.bench.paired import Bench, Skipped
from tests.kernels import whole_arrays

SHAPE = (64, 128, 128)
ITERATIONS = 30
WEIGHT = 60.0


def thorax() -> np.ndarray:
    """Return steps of tissue with noise, in HU."""
    rng = np.random.default_rng(3)
    z, y, x = np.indices(SHAPE)
    body = np.where((y - 64) ** 2 + (x - 64) ** 2 < 55**2, 40.0, -1000.0)
    lungs = np.where((y - 64) ** 2 + ((x - 64) % 50 - 25) ** 2 < 300 + z, -850.0, body)
    return (lungs + rng.normal(0, 30, SHAPE)).astype(np.float32)


def largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference of two arrays of one type; of others, infinity."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return np.inf
    return float(np.abs(ours.astype(np.float64) - theirs).max())


def _from_definition(x: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference from non-local means by whole arrays, within a part."""
    part = x[:24, :40, :40]
    expected = whole_arrays.non_local_means(part, patch_size=3, distance=3, h=30.0, sigma=30.0, rician=False)
    inside = (slice(5, 19), slice(5, 35), slice(5, 35))
    return largest(found[inside], expected[inside].astype(np.float32))


def _beside_opencv(x: np.ndarray, size: str) -> Bench | Skipped:
    """Return the Gaussian beside OpenCV's, if that is there: along z on planes as rows, then plane by plane."""
    subject = "gaussian 1 mm"
    if find_spec("cv2") is None:
        return Skipped(subject=f"{subject}, OpenCV", reason="OpenCV is not among the dependencies")
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)
    window = cv2.getGaussianKernel(2 * round(TRUNCATE) + 1, 1.0, cv2.CV_32F)
    nothing, border = np.ones((1, 1), np.float32), cv2.BORDER_REPLICATE

    def theirs() -> np.ndarray:
        along_z, result = np.empty_like(x), np.empty_like(x)
        rows = (len(x), -1)
        cv2.sepFilter2D(x.reshape(rows), -1, nothing, window, dst=along_z.reshape(rows), borderType=border)
        for plane, made in zip(along_z, result, strict=True):
            cv2.sepFilter2D(plane, -1, window, window, dst=made, borderType=border)
        return result

    return Bench(
        subject=subject,
        size=size,
        ours=lambda: gaussian(x, sigma_mm=1.0, spacing_mm=(1.0, 1.0, 1.0)),
        peer=f"OpenCV {cv2.__version__}",
        theirs=theirs,
        difference=largest,
        # both sum in float32
        tolerance=2e-3,
        moved_bytes=2 * x.nbytes,
    )


def benches(folder: Path) -> Iterator[Bench | Skipped]:
    """Yield the comparisons."""
    x = thorax()
    size = "64x128x128 float32"
    yield Bench(
        subject="median 3x3x3",
        size=size,
        ours=lambda: median(x, size=3),
        peer="scipy",
        theirs=lambda: ndimage.median_filter(x, size=3, mode="nearest"),
        difference=largest,
        moved_bytes=2 * x.nbytes,
    )
    yield Bench(
        subject="nlm 3-D",
        size=f"{size}, patch 3, distance 3",
        ours=lambda: non_local_means(x, patch_size=3, distance=3, h=30.0, sigma=30.0, rician=False),
        peer="skimage, fast mode",
        theirs=lambda: denoise_nl_means(x, patch_size=3, patch_distance=3, h=30.0, sigma=30.0, fast_mode=True),
        # the peer's windows lie off centre, so ours is held against the definition instead
        difference=lambda mine, _: _from_definition(x, mine),
        tolerance=1e-4 * float(np.ptp(x)),
        moved_bytes=2 * x.nbytes,
    )
    yield Bench(
        subject="tv chambolle",
        size=f"{size}, {ITERATIONS} steps",
        ours=lambda: total_variation(x, weight=WEIGHT, iterations=ITERATIONS),
        peer="skimage, eps=0",
        theirs=lambda: denoise_tv_chambolle(x, weight=WEIGHT, eps=0, max_num_iter=ITERATIONS),
        difference=largest,
        # float32 arithmetic in another order
        tolerance=1e-6 * float(np.ptp(x)),
        moved_bytes=2 * x.nbytes,
    )
    yield Bench(
        subject="gaussian 1 mm",
        size=size,
        ours=lambda: gaussian(x, sigma_mm=1.0, spacing_mm=(1.0, 1.0, 1.0)),
        peer="scipy",
        theirs=lambda: ndimage.gaussian_filter(x, 1.0, mode="nearest", truncate=TRUNCATE),
        difference=largest,
        # ours sums in float32, SciPy in float64
        tolerance=2e-3,
        moved_bytes=2 * x.nbytes,
    )
    yield _beside_opencv(x, size)
    yield Bench(
        subject="wavelet shrinkage",
        size=f"{size}, 2 levels",
        ours=lambda: bayes_shrink(x, sigma=30.0, levels=2),
        peer="skimage, db2",
        theirs=lambda: denoise_wavelet(x, sigma=30.0, wavelet="db2", wavelet_levels=2, rescale_sigma=False),
        difference=largest,
        tolerance=1e-5 * float(np.ptp(x)),
        moved_bytes=2 * x.nbytes,
    )
    image = sitk.GetImageFromArray(x)
    yield Bench(
        subject="curvature diffusion",
        size=f"{size}, 5 steps",
        ours=lambda: adaptive_diffusion(
            x, conductance=3.0, iterations=5, step=0.0625, equation="curvature", spacing_mm=(1.0, 1.0, 1.0)
        ),
        peer="SimpleITK",
        theirs=lambda: sitk.GetArrayFromImage(
            sitk.CurvatureAnisotropicDiffusion(image, timeStep=0.0625, conductanceParameter=3.0, numberOfIterations=5)
        ),
        difference=largest,
        tolerance=2e-5 * float(np.ptp(x)),
        moved_bytes=2 * x.nbytes,
    )
