"""The other side of a comparison, in an interpreter of its own: radiomics libraries on images in files.

Run by :mod:`tests.bench.peers` as a script, with the libraries of that interpreter alone. A line
of JSON on standard input is a request: ``{"image", "mask", "spacing_mm", "bins"}`` gives the next
region (two ``.npy`` files), ``{}`` asks for its features. The answer to the latter is a line with
the seconds of CPU time that they took, all threads of the process, and the values.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], dict[str, float]]

GLCM_3D = ("3d_average", "3d_volume_merge")


def pyradiomics(image: Any, mask: Any, asked: dict[str, Any], folder: Path) -> Work:
    """All 107 features, or those that are named, without the diagnostics."""
    import SimpleITK as sitk
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    itk_image, itk_mask = sitk.GetImageFromArray(image), sitk.GetImageFromArray(mask.astype(np.uint8))
    itk_image.SetSpacing(asked["spacing_mm"][::-1])
    itk_mask.CopyInformation(itk_image)
    extractor = RadiomicsFeatureExtractor(binCount=asked["bins"], additionalInfo=False)
    extractor.disableAllFeatures()
    extractor.enableFeaturesByName(**asked["features"])

    def work() -> dict[str, float]:
        found = extractor.execute(itk_image, itk_mask)
        return {name.removeprefix("original_"): float(value) for name, value in found.items()}

    return work


def nyxus(image: Any, mask: Any, asked: dict[str, Any], folder: Path) -> Work:
    """Texture of an image whose intensities are the levels already."""
    import nyxus as library
    import SimpleITK as sitk

    paths = [str(folder / name) for name in ("image.nii", "mask.nii")]
    for path, array in zip(paths, (np.where(mask, image, 0), mask), strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(array.astype(np.uint16)), path)
    groups = [f"*3D_{family}*" for family in ("GLCM", "GLRLM", "GLSZM", "GLDM", "NGTDM")]
    extractor = library.Nyxus3D(groups, n_feature_calc_threads=1, coarse_gray_depth=asked["bins"])

    def work() -> dict[str, float]:
        found = extractor.featurize_files([paths[0]], [paths[1]], single_roi=True).iloc[0]
        return {name: float(found[name]) for name in found.index if name.startswith("3")}

    return work


def mirp(image: Any, mask: Any, asked: dict[str, Any], folder: Path) -> Work:
    """The whole set in space, averaged and merged."""
    import SimpleITK as sitk
    from mirp import extract_features

    paths = [str(folder / name) for name in ("image.nii", "mask.nii")]
    for path, array in zip(paths, (image, mask.astype(np.uint8)), strict=True):
        itk_image = sitk.GetImageFromArray(array)
        itk_image.SetSpacing(asked["spacing_mm"][::-1])
        sitk.WriteImage(itk_image, path)
    undirected = {f"{family}_spatial_method": "3d" for family in ("glszm", "gldzm", "ngtdm", "ngldm")}

    def work() -> dict[str, float]:
        (found,) = extract_features(
            image=paths[0],
            mask=paths[1],
            image_modality="ct",
            base_feature_families="all",
            base_discretisation_method="fixed_bin_number",
            base_discretisation_n_bins=asked["bins"],
            ivh_discretisation_method="fixed_bin_number",
            ivh_discretisation_n_bins=1000,
            glcm_spatial_method=list(GLCM_3D),
            glrlm_spatial_method=list(GLCM_3D),
            **undirected,
        )
        row = found.iloc[0]
        families = ("morph", "loc", "ivh", "stat", "ih", "cm", "rlm", "szm", "dzm", "ngt", "ngl")
        return {name: float(row[name]) for name in row.index if name.split("_")[0] in families}

    return work


LIBRARIES = {"pyradiomics": pyradiomics, "nyxus": nyxus, "mirp": mirp}


def answers(lines: Iterator[str], library: Callable[..., Work], folder: Path) -> Iterator[str]:
    """Yield a line for each request."""
    work: Work | None = None
    for line in lines:
        asked = json.loads(line)
        if asked:
            work = library(np.load(asked["image"]), np.load(asked["mask"]), asked, folder)
            yield "{}"
            continue
        assert work is not None
        started_s = time.process_time()
        values = work()
        yield json.dumps({"cpu_s": time.process_time() - started_s, "values": values})


def main() -> None:
    """Answer until standard input ends; what libraries print goes nowhere."""
    said = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for answer in answers(iter(sys.stdin.readline, ""), LIBRARIES[sys.argv[1]], Path(folder)):
            said.write(answer + "\n")
            said.flush()


if __name__ == "__main__":
    main()
