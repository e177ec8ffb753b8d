"""The archive as a whole: an empty folder in, images and truth out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medpipe.errors import ConfigError
from medpipe.synth.broken import plant_broken
from medpipe.synth.cohort import visits
from medpipe.synth.study import write_study
from medpipe.synth.truth import StudyTruth, Truth, write_truth


def make_archive(out: Path, *, studies: int, seed: int, on_progress: Callable[[int, int], None] | None = None) -> Truth:
    """Write a phantom archive and what is known of it.

    ``out/archive`` holds DICOM files without extension, as a PACS export leaves them: a chest CT
    in two reconstructions with a nodule of one of two kinds outlined as SEG or RTSTRUCT, a head
    MR with bias field and Rician noise, a PET with spheres of known SUV and a chest X-ray per
    study, one localizer, and an ``incoming`` folder of files to be refused. ``out/truth`` holds
    ``truth.json``, ``labels.csv`` and ``series.csv``. One patient in four has two studies.

    The same ``studies`` and ``seed`` give the same bytes; more studies of the same seed begin
    with the same ones.

    Parameters
    ----------
    out : Path
        A folder that is empty or not there yet.
    studies : int
        From 1.
    seed : int
        From 0.
    on_progress : callable, optional
        Called with (studies done, studies in all) after each study.

    Returns
    -------
    Truth

    Raises
    ------
    ConfigError
        If ``out`` is not an empty folder, or a number is out of range.
    """
    if studies < 1 or seed < 0:
        raise ConfigError("synth: studies must be at least 1 and the seed at least 0")
    archive = _new_archive(out)
    found: list[StudyTruth] = []
    for visit in visits(studies=studies, seed=seed):
        found.append(write_study(visit, archive))
        if on_progress is not None:
            on_progress(len(found), studies)
    truth = Truth(seed=seed, studies=tuple(found), broken=plant_broken(archive, _sample(found[0]), seed=seed))
    write_truth(truth, out / "truth")
    return truth


def _new_archive(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("synth: the output folder is not empty; name a new or an empty one")
    archive = out / "archive"
    archive.mkdir(parents=True)
    return archive


def _sample(study: StudyTruth) -> str:
    ct = study.of_role("ct")
    assert ct is not None
    return ct.files[len(ct.files) // 2]
