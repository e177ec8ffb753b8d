"""Where the files of a study lie: folders and names without extension, as exports leave them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from medpipe.synth.cohort import Visit


@dataclass(slots=True)
class StudyFolder:
    """Hands out the paths of a study's files.

    Two habits are seen in archives, and both are here: a folder per series with numbered files,
    and one folder for the whole study with names that mix its series.

    Attributes
    ----------
    archive : Path
        Root of the archive.
    folder : Path
        The study's folder.
    mixed : bool
        One folder for all series.
    """

    archive: Path
    folder: Path
    mixed: bool
    _counts: Counter[int] = field(default_factory=Counter)

    def next_path(self, series_number: int) -> Path:
        """Return the path of the next file of a series; its folder exists."""
        place = self._counts[series_number]
        self._counts[series_number] += 1
        if self.mixed:
            name = hashlib.sha256(f"{self.folder.name}/{series_number}/{place}".encode()).hexdigest()[:8].upper()
            path = self.folder / name
        else:
            path = self.folder / f"SER{series_number:05d}" / f"IM{place + 1:05d}"
        if place == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        return path


def study_folder(archive: Path, visit: Visit) -> StudyFolder:
    """Return the folder of a visit; three patients in four have a folder per series."""
    mixed = visit.patient.number % 4 == 0
    day = visit.day.strftime("%Y%m%d")
    if mixed:
        folder = archive / "Übergabe CD 2020" / f"{visit.patient.patient_id}_{day}"
    else:
        folder = archive / "pacs" / f"P{visit.patient.number:05d}" / f"ST{day}"
    return StudyFolder(archive, folder, mixed)
