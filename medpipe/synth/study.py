"""One study of the archive: all its images made, written and recorded."""

from __future__ import annotations

from datetime import time
from pathlib import Path

from medpipe.synth.chest import Chest, make_chest
from medpipe.synth.cohort import Visit
from medpipe.synth.ct_objects import SHARP, SOFT, paired_slices, scanned, write_ct, write_localizer
from medpipe.synth.head import draw_head, head_image
from medpipe.synth.layout import StudyFolder, study_folder
from medpipe.synth.mr_objects import stored_signal, tilted_grid, write_mr
from medpipe.synth.noise import rician
from medpipe.synth.objects import EXPLICIT, IMPLICIT, RLE, Series, Written
from medpipe.synth.pet_objects import draw_injection, write_pet
from medpipe.synth.radiograph import radiograph
from medpipe.synth.rt_objects import write_rtstruct
from medpipe.synth.seg_objects import write_seg
from medpipe.synth.shapes import Grid, centred_grid
from medpipe.synth.truth import PetTruth, Role, SeriesTruth, SphereTruth, StudyTruth
from medpipe.synth.uptake import draw_spheres, uptake_image
from medpipe.synth.xray_objects import write_xray

CT_SIGMA_HU = {False: (8.0, 13.0), True: (28.0, 38.0)}
MR_SIGMA = {False: (10.0, 18.0), True: (55.0, 80.0)}
PET_SIGMA_SUV = {False: (0.03, 0.06), True: (0.16, 0.24)}
XRAY_SIGMA = {False: (12.0, 22.0), True: (70.0, 110.0)}
"""Ranges of the noise of usual and of noisy acquisitions; units as in ``SeriesTruth``."""

_XRAY_SIZE = 256
_XRAY_SPACING_MM = 1.25


def write_study(visit: Visit, archive: Path) -> StudyTruth:
    """Make a study, write its files below ``archive`` and return what is known of it."""
    folder = study_folder(archive, visit)
    chest = make_chest(visit)
    series = [*_chest_ct(visit, chest, folder), _outline(visit, chest, folder)]
    mr, bias_strength = _head_mr(visit, folder)
    pet, pet_truth = _chest_pet(visit, chest, folder)
    return StudyTruth(
        study_instance_uid=visit.uid("study"),
        patient_id=visit.patient.patient_id,
        visit=visit.number,
        roi_object=visit.patient.roi_object,
        nodule=chest.nodule_truth(),
        pet=pet_truth,
        bias_strength=bias_strength,
        series=(*series, mr, pet, _chest_xray(visit, chest, folder)),
    )


def _chest_ct(visit: Visit, chest: Chest, folder: StudyFolder) -> list[SeriesTruth]:
    sigma_hu = _level(visit, "CT level", CT_SIGMA_HU[visit.noisy.ct])
    thin = _ct_series(visit)
    stored = scanned(chest.ideal, SOFT, sigma_hu=sigma_hu, rng=visit.rng("CT noise"))
    written = write_ct(thin, stored, chest.grid, folder, SOFT)
    found = [_known(thin, written, grid=chest.grid, unit="HU", noisy=visit.noisy.ct, sigma=sigma_hu)]

    thick = _thick_series(visit)
    ideal, grid = paired_slices(chest.ideal, chest.grid)
    sigma_hu = round(1.2 * sigma_hu, 3)
    stored = scanned(ideal, SHARP, sigma_hu=sigma_hu, rng=visit.rng("CT noise, sharp kernel"))
    written = write_ct(thick, stored, grid, folder, SHARP)
    found.append(_known(thick, written, grid=grid, unit="HU", noisy=visit.noisy.ct, sigma=sigma_hu))

    if visit.index == 0:
        scout = Series(visit=visit, role="localizer", modality="CT", number=1, description="SCOUT", at=time(8, 58))
        written, grid = write_localizer(scout, chest.ideal, chest.grid, folder)
        found.append(_known(scout, written, grid=grid, unit="HU", noisy=False, sigma=0.0))
    return found


def _ct_series(visit: Visit) -> Series:
    return Series(
        visit=visit,
        role="ct",
        modality="CT",
        number=2,
        description="CHEST SOFT",
        at=time(9),
        transfer_syntax=IMPLICIT if visit.index % 3 == 1 else EXPLICIT,
        random_instance_numbers=visit.index % 4 == 1,
    )


def _thick_series(visit: Visit) -> Series:
    return Series(
        visit=visit,
        role="ct_thick",
        modality="CT",
        number=3,
        description="CHEST SHARP THICK",
        at=time(9),
        # Once is enough: compressing in Python is slow.
        transfer_syntax=RLE if visit.index == 0 else EXPLICIT,
    )


def _outline(visit: Visit, chest: Chest, folder: StudyFolder) -> SeriesTruth:
    source = _ct_series(visit)
    as_seg = visit.patient.roi_object == "SEG"
    role: Role = "seg" if as_seg else "rtstruct"
    series = Series(
        visit=visit,
        role=role,
        modality="SEG" if as_seg else "RTSTRUCT",
        number=20,
        description="NODULE",
        at=time(15),
    )
    if as_seg:
        written = write_seg(series, chest.mask, chest.grid, folder, source)
    else:
        written = write_rtstruct(series, chest.nodule, chest.grid, folder, source)
    return _known(series, written, grid=None, unit="", noisy=False, sigma=0.0)


def _head_mr(visit: Visit, folder: StudyFolder) -> tuple[SeriesTruth, float]:
    rng = visit.patient_rng("head")
    head = draw_head(rng)
    n_slices, in_plane = int(rng.integers(24, 33)), round(float(rng.uniform(2.1, 2.3)), 2)
    tilt_deg = float(visit.rng("head tilt").uniform(-15, 15))
    grid = tilted_grid((n_slices, 96, 96), (4.5, in_plane, in_plane), tilt_deg=tilt_deg)
    bias_strength = _level(visit, "bias", (0.15, 0.40))
    image = head_image(head, grid, bias_strength=bias_strength, rng=rng)
    sigma = _level(visit, "MR level", MR_SIGMA[visit.noisy.mr])
    stored = stored_signal(rician(visit.rng("MR noise"), image.signal, sigma=sigma))
    series = Series(
        visit=visit,
        role="mr",
        modality="MR",
        number=10,
        description="HEAD T1",
        at=time(11),
        transfer_syntax=IMPLICIT if visit.index % 2 else EXPLICIT,
        random_instance_numbers=visit.index % 3 == 2,
    )
    written = write_mr(series, stored, grid, folder)
    return _known(series, written, grid=grid, unit="arbitrary", noisy=visit.noisy.mr, sigma=sigma), bias_strength


def _chest_pet(visit: Visit, chest: Chest, folder: StudyFolder) -> tuple[SeriesTruth, PetTruth]:
    grid = centred_grid((24, 64, 64), (6.0, 5.2, 5.2), (0.0, 8.0, 0.0))
    spheres = draw_spheres(visit.rng("spheres"), chest.thorax, chest.nodule)
    level = _level(visit, "PET level", PET_SIGMA_SUV[visit.noisy.pet])
    suv = uptake_image(chest.thorax, spheres, grid, noise_level=level, rng=visit.rng("PET noise"))
    series = Series(
        visit=visit,
        role="pet",
        modality="PT",
        number=5,
        description="CHEST PET AC",
        at=time(9, 10),
        random_instance_numbers=visit.index % 5 == 3,
    )
    injection = draw_injection(series)
    written = write_pet(series, suv, grid, folder, injection)
    known = PetTruth(
        suv_per_bqml=injection.suv_per_bqml,
        decay_correction=injection.decay_correction,
        spheres=tuple(SphereTruth(centre_lps=s.centre_lps, radius_mm=s.radius_mm, suv=s.suv) for s in spheres),
    )
    return _known(series, written, grid=grid, unit="BQML", noisy=visit.noisy.pet, sigma=level), known


def _chest_xray(visit: Visit, chest: Chest, folder: StudyFolder) -> SeriesTruth:
    sigma = _level(visit, "X-ray level", XRAY_SIGMA[visit.noisy.xray])
    image = radiograph(
        chest.thorax,
        chest.nodule,
        size=_XRAY_SIZE,
        spacing_mm=_XRAY_SPACING_MM,
        sigma=sigma,
        rng=visit.rng("X-ray noise"),
    )
    series = Series(
        visit=visit,
        role="xray",
        modality="DX" if visit.patient.number % 2 else "CR",
        number=1,
        description="CHEST AP",
        at=time(8, 30),
        transfer_syntax=IMPLICIT if visit.index % 2 else EXPLICIT,
    )
    written = write_xray(series, image, folder, spacing_mm=_XRAY_SPACING_MM)
    return SeriesTruth(
        series_instance_uid=series.uid,
        modality=series.modality,
        role=series.role,
        n_files=len(written.files),
        transfer_syntax=series.transfer_syntax,
        random_instance_numbers=False,
        files=written.files,
        shape=(1, *image.shape),
        unit="arbitrary",
        voxels_digest=written.voxels_digest,
        noisy=visit.noisy.xray,
        noise_sigma=sigma,
    )


def _level(visit: Visit, purpose: str, limits: tuple[float, float]) -> float:
    return round(float(visit.rng(purpose).uniform(*limits)), 3)


def _known(series: Series, written: Written, *, grid: Grid | None, unit: str, noisy: bool, sigma: float) -> SeriesTruth:
    return SeriesTruth(
        series_instance_uid=series.uid,
        modality=series.modality,
        role=series.role,
        n_files=len(written.files),
        transfer_syntax=series.transfer_syntax,
        random_instance_numbers=series.random_instance_numbers,
        files=written.files,
        shape=() if grid is None else grid.shape,
        spacing_mm=None if grid is None else grid.spacing_mm,
        affine_lps=None if grid is None else grid.affine_lps,
        unit=unit,
        voxels_digest=written.voxels_digest,
        noisy=noisy,
        noise_sigma=sigma,
    )
