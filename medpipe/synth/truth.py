"""What is known of an archive: every parameter, as records, as JSON and as two tables.

``truth.json`` holds all of :class:`Truth`. ``labels.csv`` has one row per study (the targets of
models), ``series.csv`` one row per series.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medpipe.synth.cohort import NoduleKind, RoiObject
from medpipe.synth.shapes import Bools, Point

REGION = "gtv"
"""Closed name of the nodule's region in labels."""

ROI_NAME = "GTV-1"
"""Name of the nodule in the SEG or RTSTRUCT object."""

Role = Literal["ct", "ct_thick", "localizer", "seg", "rtstruct", "mr", "pet", "xray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesTruth:
    """A series as written.

    Attributes
    ----------
    series_instance_uid : str
    modality : str
        DICOM modality.
    role : str
        ``ct``, ``ct_thick`` (the second reconstruction), ``localizer``, ``seg``, ``rtstruct``,
        ``mr``, ``pet`` or ``xray``.
    n_files : int
    transfer_syntax : str
        UID.
    random_instance_numbers : bool
        InstanceNumber does not follow the slices.
    files : tuple of str
        Paths relative to the archive folder, in slice order (z ascending).
    shape : tuple of int
        (z, y, x); empty for objects without an image.
    spacing_mm : (float, float, float) or None
        Along (z, y, x); None where the image has no place in space.
    affine_lps : tuple of 16 float or None
        Row-major, voxel index (x, y, z, 1) to mm.
    unit : str
        ``HU``, ``BQML`` or ``arbitrary``; empty for objects without an image.
    voxels_digest : str
        :func:`medpipe.keys.array_digest` of the modality values: stored * slope + intercept per
        slice in float64, then float32, (z, y, x).
    noisy : bool
        Made with far too little dose or time: the target of a quality model.
    noise_sigma : float
        Standard deviation of the noise: HU (CT), signal units per channel (MR), SUV where SUV is 1
        (PET), grey levels (X-ray).
    """

    series_instance_uid: str
    modality: str
    role: Role
    n_files: int
    transfer_syntax: str
    random_instance_numbers: bool
    files: tuple[str, ...]
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, float, float] | None = None
    affine_lps: tuple[float, ...] | None = None
    unit: str = ""
    voxels_digest: str = ""
    noisy: bool = False
    noise_sigma: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleTruth:
    """The nodule of a study.

    Attributes
    ----------
    kind : {"smooth", "spiculated"}
    centre_lps : (float, float, float)
        mm.
    radius_mm, spike_height, mean_hu, texture_sd_hu : float
        See :class:`medpipe.synth.nodule.Nodule`.
    volume_mm3 : float
        Voxels of the mask times the voxel volume.
    diameter_mm : float
        Diameter of the ball of that volume.
    shape : (int, int, int)
        Shape of the mask, that of the series of role ``ct``.
    runs : tuple of (int, int)
        The mask as (start, length) of runs of voxels inside, in C order.
    """

    kind: NoduleKind
    centre_lps: Point
    radius_mm: float
    spike_height: float
    mean_hu: float
    texture_sd_hu: float
    volume_mm3: float
    diameter_mm: float
    shape: tuple[int, int, int]
    runs: tuple[tuple[int, int], ...]

    def mask(self) -> Bools:
        """Return the nodule's mask on the grid of the series of role ``ct``."""
        flat = np.zeros(int(np.prod(self.shape)), dtype=np.bool_)
        for start, length in self.runs:
            flat[start : start + length] = True
        return flat.reshape(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class SphereTruth:
    """A sphere of known uptake in the PET series.

    Attributes
    ----------
    centre_lps : (float, float, float)
        mm.
    radius_mm : float
    suv : float
        Body-weight SUV: the mean over the voxels whose centre is inside, up to quantisation.
    """

    centre_lps: Point
    radius_mm: float
    suv: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PetTruth:
    """What turns the PET series into SUV.

    Attributes
    ----------
    suv_per_bqml : float
        Body-weight SUV of 1 Bq/ml.
    decay_correction : {"START", "ADMIN"}
    spheres : tuple of SphereTruth
    """

    suv_per_bqml: float
    decay_correction: str
    spheres: tuple[SphereTruth, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTruth:
    """A study.

    Attributes
    ----------
    study_instance_uid, patient_id : str
    visit : int
        Place among the patient's visits, from 0.
    roi_object : {"SEG", "RTSTRUCT"}
    nodule : NoduleTruth
    pet : PetTruth
    bias_strength : float
        Largest absolute logarithm of the MR bias field within the head.
    series : tuple of SeriesTruth
    """

    study_instance_uid: str
    patient_id: str
    visit: int
    roi_object: RoiObject
    nodule: NoduleTruth
    pet: PetTruth
    bias_strength: float
    series: tuple[SeriesTruth, ...]

    def of_role(self, role: Role) -> SeriesTruth | None:
        """Return the series of a role, or None."""
        return next((series for series in self.series if series.role == role), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenTruth:
    """A file put there to be refused.

    Attributes
    ----------
    path : str
        Relative to the archive folder.
    what : str
        What was done to it.
    code : str
        The reason it should be set aside for, of :data:`medpipe.reasons.REASONS`.
    """

    path: str
    what: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """All that is known of an archive.

    Attributes
    ----------
    seed : int
    studies : tuple of StudyTruth
    broken : tuple of BrokenTruth
    """

    seed: int
    studies: tuple[StudyTruth, ...]
    broken: tuple[BrokenTruth, ...]

    def label_rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``labels.csv``: one per study."""
        return [_label_row(study) for study in self.studies]

    def series_rows(self) -> list[dict[str, Any]]:
        """Return the rows of ``series.csv``: one per series."""
        return [_series_row(study, series) for study in self.studies for series in study.series]


def runs_of(mask: Bools) -> tuple[tuple[int, int], ...]:
    """Return the (start, length) of the runs of True in C order."""
    edges = np.flatnonzero(np.diff(mask.ravel().astype(np.int8), prepend=0, append=0))
    return tuple((int(start), int(stop - start)) for start, stop in zip(edges[::2], edges[1::2], strict=True))


def write_truth(truth: Truth, folder: Path) -> None:
    """Write ``truth.json``, ``labels.csv`` and ``series.csv`` into a new folder."""
    folder.mkdir()
    (folder / "truth.json").write_text(json.dumps(asdict(truth), indent=1, sort_keys=True) + "\n", encoding="ascii")
    (folder / "labels.csv").write_text(_csv(truth.label_rows()), encoding="ascii")
    (folder / "series.csv").write_text(_csv(truth.series_rows()), encoding="ascii")


def _label_row(study: StudyTruth) -> dict[str, Any]:
    found = {role: study.of_role(role) for role in ("ct", "mr", "pet", "xray")}
    uids = {name: series.series_instance_uid for name, series in found.items() if series is not None}
    noisy = {name: int(series.noisy) for name, series in found.items() if series is not None}
    return {
        "patient_id": study.patient_id,
        "study_instance_uid": study.study_instance_uid,
        "visit": study.visit,
        "series_instance_uid": uids["ct"],
        "region": REGION,
        "roi_object": study.roi_object,
        "nodule_kind": study.nodule.kind,
        "nodule_diameter_mm": study.nodule.diameter_mm,
        "nodule_volume_mm3": study.nodule.volume_mm3,
        **{f"{name}_noisy": value for name, value in noisy.items()},
        **{f"{name}_series_instance_uid": value for name, value in uids.items() if name != "ct"},
    }


def _series_row(study: StudyTruth, series: SeriesTruth) -> dict[str, Any]:
    return {
        "series_instance_uid": series.series_instance_uid,
        "study_instance_uid": study.study_instance_uid,
        "patient_id": study.patient_id,
        "modality": series.modality,
        "role": series.role,
        "n_files": series.n_files,
        "noisy": int(series.noisy),
        "noise_sigma": series.noise_sigma,
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
