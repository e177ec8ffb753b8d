"""How well the denoisers do on phantoms whose truth is known, as a table.

``python -m tests.bench.quality`` prints it, ``-o FILE`` writes it. For each kind of image the same noise
for all methods: PSNR = 10 log10(R^2 / MSE) with a fixed R, SSIM with Gaussian windows (sigma 1.5) in the planes over the
same R, and the bias, which is the mean error within one tissue, three voxels from its border.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

from medpipe.contracts.protocols import ImageOp
from medpipe.ops.denoise import (
    Anscombe,
    Bilateral,
    CurvatureDiffusion,
    Gaussian,
    Lee,
    Median,
    MpPca,
    NonLocalMeans,
    PeronaMalik,
    Srad,
    TotalVariation,
    Wavelet,
)
from medpipe.synth.head import draw_head, head_image
from medpipe.synth.noise import correlated, rician
from medpipe.synth.shapes import centred_grid
from medpipe.synth.thorax import MUSCLE_HU, blurred, draw_thorax
from medpipe.types import Geometry, Volume

SEED = 17
SHAPE = (24, 128, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """An image with its truth.

    Attributes
    ----------
    name : str
    truth, noisy : array of float32
        (z, y, x), or (t, z, y, x).
    tissue : array of bool (z, y, x)
        Where the bias is told.
    data_range : float
        R of PSNR and SSIM.
    unit : str
        Of the bias.
    modality : str
    spacing_mm : (float, float, float)
    methods : tuple of ImageOp
    """

    name: str
    truth: np.ndarray
    noisy: np.ndarray
    tissue: np.ndarray
    data_range: float
    unit: str
    modality: str
    spacing_mm: tuple[float, float, float]
    methods: tuple[ImageOp, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a method made of a phantom."""

    phantom: str
    method: str
    psnr_db: float
    ssim: float
    bias: float
    unit: str


def phantoms() -> Iterator[Phantom]:
    """Yield the phantoms, always the same."""
    yield from (_ct(), _ct_correlated(), _mr(), _pet(), _ultrasound(), _diffusion())


def lines(phantom: Phantom) -> Iterator[Line]:
    """Yield the noisy image's own line, then that of each method."""
    axes = "tzyx" if phantom.noisy.ndim == 4 else "zyx"
    geometry = Geometry(shape=phantom.noisy.shape, axes=axes, spacing_mm=phantom.spacing_mm)
    volume = Volume(data=phantom.noisy, geometry=geometry, modality=phantom.modality)
    yield _line(phantom, "none", phantom.noisy)
    for op in phantom.methods:
        yield _line(phantom, _words(op), op(volume).data)


def table(found: Sequence[Line]) -> str:
    """Return lines as Markdown."""
    rows = ["| image | method | PSNR, dB | SSIM | bias |", "| --- | --- | ---: | ---: | ---: |"]
    rows += [
        f"| {one.phantom} | {one.method} | {one.psnr_db:.1f} | {one.ssim:.3f} | {one.bias:+.3g} {one.unit}".rstrip()
        + " |"
        for one in found
    ]
    return "\n".join(rows) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Make the table and print or write it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="file for the table")
    asked = parser.parse_args(arguments)
    text = table([line for phantom in phantoms() for line in lines(phantom)])
    if asked.output is None:
        sys.stdout.write(text)
    else:
        asked.output.write_text(text, encoding="utf-8")
    return 0


def _line(phantom: Phantom, method: str, found: np.ndarray) -> Line:
    error = found.astype(np.float64) - phantom.truth
    planes = (array.reshape(-1, *array.shape[-2:]) for array in (phantom.truth, found))
    similar = [
        structural_similarity(
            truth,
            plane,
            data_range=phantom.data_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for truth, plane in zip(*planes, strict=True)
    ]
    return Line(
        phantom=phantom.name,
        method=method,
        psnr_db=float(10 * np.log10(phantom.data_range**2 / (error**2).mean())),
        ssim=float(np.mean(similar)),
        bias=float(error[..., phantom.tissue].mean()),
        unit=phantom.unit,
    )


def _words(op: ImageOp) -> str:
    name = f"`{op.name}`"
    if isinstance(op, Anscombe):
        return f"{name} around `{op.denoiser.name}`"
    if isinstance(op, NonLocalMeans):
        return name + ", Rician" * (op.noise == "rician") + ", sigma given" * (op.sigma is not None)
    return name


def _inside(mask: np.ndarray) -> np.ndarray:
    return ndimage.binary_erosion(mask, iterations=3)


def _edge_keepers(noise: float) -> tuple[ImageOp, ...]:
    """Return the ops whose strength goes by the noise."""
    return (
        TotalVariation(weight=0.7 * noise, iterations=50),
        Bilateral(sigma_mm=2.0, sigma_value=2.5 * noise),
        PeronaMalik(edge=2.0 * noise),
        CurvatureDiffusion(),
        Wavelet(),
        NonLocalMeans(distance=3),
    )


def _thorax() -> np.ndarray:
    """Return the chest in HU, without vessels and ribs, as a scanner with a little blur would see it."""
    grid = centred_grid(SHAPE, (3.0, 3.0, 3.0), (0.0, 0.0, 0.0))
    where = grid.coordinates()
    image = np.full(SHAPE, -1000.0, np.float32)
    for tissue in draw_thorax(np.random.default_rng(SEED)).tissues:
        image[tissue.shape.inside(where, SHAPE)] = tissue.hu
    return blurred(image, sigma_voxels=(0.4, 0.4, 0.4))


def _ct() -> Phantom:
    truth = _thorax()
    noise = 30.0
    return Phantom(
        name="CT, white noise of 30 HU",
        truth=truth,
        noisy=truth + np.random.default_rng(SEED).normal(0, noise, SHAPE).astype(np.float32),
        tissue=_inside(np.abs(truth - MUSCLE_HU) < 1.0),
        data_range=2000.0,
        unit="HU",
        modality="CT",
        spacing_mm=(3.0, 3.0, 3.0),
        methods=(Gaussian(sigma_mm=2.0), Median(), *_edge_keepers(noise)),
    )


def _ct_correlated() -> Phantom:
    plain, noise = _ct(), 30.0
    rng = np.random.default_rng(SEED)
    noisy = plain.truth + correlated(rng, SHAPE, sigma=noise, correlation_voxels=(0.0, 0.7, 0.7))
    return replace(
        plain,
        name="CT, correlated noise of 30 HU",
        noisy=noisy,
        methods=(*plain.methods, NonLocalMeans(distance=3, sigma=noise)),
    )


def _mr() -> Phantom:
    rng = np.random.default_rng(SEED)
    grid = centred_grid(SHAPE, (5.0, 1.8, 1.8), (0.0, 0.0, 0.0))
    head = head_image(draw_head(rng), grid, bias_strength=0.0, rng=rng)
    noise = 60.0
    return Phantom(
        name="MR magnitude, Rician noise of 60",
        truth=head.signal,
        noisy=rician(rng, head.signal, sigma=noise),
        tissue=_inside(head.inside),
        data_range=1000.0,
        unit="",
        modality="MR",
        spacing_mm=(5.0, 1.8, 1.8),
        methods=(
            Gaussian(sigma_mm=1.5),
            Median(),
            *_edge_keepers(noise),
            NonLocalMeans(distance=3, noise="rician"),
        ),
    )


def _pet() -> Phantom:
    chest = _thorax()
    counts = np.select([chest > 0.0, chest > -900.0], [12.0, 4.0], 0.1)
    z, y, x = np.indices(SHAPE)
    for place, level in (((12, 50, 45), 60.0), ((10, 60, 85), 40.0)):
        away = sum((axis - centre) ** 2 for axis, centre in zip((z, y, x), place, strict=True))
        counts[away < 25] = level
    truth = (0.1 * blurred(counts.astype(np.float32), sigma_voxels=(0.8, 0.8, 0.8))).astype(np.float32)
    noisy = (0.1 * np.random.default_rng(SEED).poisson(10.0 * truth)).astype(np.float32)
    return Phantom(
        name="PET, counts of 0.1 SUV",
        truth=truth,
        noisy=noisy,
        tissue=_inside(np.abs(counts - 12.0) < 0.5),
        data_range=6.0,
        unit="SUV",
        modality="PT",
        spacing_mm=(3.0, 3.0, 3.0),
        methods=(
            Gaussian(sigma_mm=2.2),
            Median(),
            Wavelet(),
            NonLocalMeans(distance=3),
            Anscombe(denoiser=Gaussian(sigma_mm=2.2)),
            Anscombe(denoiser=Wavelet(sigma=1.0)),
            Anscombe(denoiser=NonLocalMeans(distance=3, sigma=1.0)),
        ),
    )


def _ultrasound() -> Phantom:
    z, y, x = np.indices((1, 160, 160))
    truth = np.full(z.shape, 90.0)
    truth[(y - 60) ** 2 + (x - 60) ** 2 < 25**2] = 30.0
    truth[(y - 110) ** 2 + (x - 100) ** 2 < 20**2] = 160.0
    speckle = np.random.default_rng(SEED).gamma(16.0, 1.0 / 16.0, z.shape)
    return Phantom(
        name="US, speckle of 25 %",
        truth=truth.astype(np.float32),
        noisy=(truth * speckle).astype(np.float32),
        tissue=_inside(np.repeat(truth == 90.0, 9, axis=0))[4:5],
        data_range=255.0,
        unit="",
        modality="US",
        spacing_mm=(1.0, 0.3, 0.3),
        methods=(Gaussian(sigma_mm=0.45), Median(size=5), Lee(), Srad(iterations=60, step=0.5), Wavelet()),
    )


def _diffusion() -> Phantom:
    rng = np.random.default_rng(SEED)
    grid = centred_grid((8, 40, 40), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
    head = head_image(draw_head(rng), grid, bias_strength=0.0, rng=rng)
    directions = rng.normal(0, 1, (30, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    diffusivity = 0.7e-3 + 0.6e-3 * ndimage.gaussian_filter(rng.normal(0, 4, (3, *head.signal.shape)), (0, 2, 2, 2))
    decay = np.tensordot(directions**2, np.maximum(diffusivity, 1e-4), axes=1)
    truth = (head.signal * np.exp(-1000.0 * decay)).astype(np.float32)
    return Phantom(
        name="diffusion MR, 30 frames, noise of 20",
        truth=truth,
        noisy=truth + rng.normal(0, 20, truth.shape).astype(np.float32),
        tissue=ndimage.binary_erosion(head.inside, iterations=2),
        data_range=1000.0,
        unit="",
        modality="MR",
        spacing_mm=(5.0, 5.0, 5.0),
        methods=(Gaussian(sigma_mm=3.0), NonLocalMeans(), Wavelet(), MpPca()),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
