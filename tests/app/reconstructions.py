"""Archives of CT studies in several reconstructions, each a few slices of noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.run_report import RunReport
from medpipe.app.site import Site
from tests.app.phantom import ct_slice, rows, uid, write

ROUTE = """
[[route]]
name = "ct"
where = { modality = "CT" }
regions = [ { op = "body" } ]
features = [ { name = "first", op = "ibsi", families = ["statistics"] } ]
"""

SELECT = 'name = "mine"\n[select]\none_per = "study"\nprefer = ["original", "soft_kernel", "thin"]\n' + ROUTE


def write_series(
    folder: Path,
    name: str,
    *,
    study: str = "1",
    patient: str = "ANNA",
    step_mm: float = 2.0,
    slices: int = 4,
    **said: Any,
) -> None:
    """Write a series of a study; files are named by the series and the slice."""
    for place in range(slices):
        dataset = ct_slice(
            place,
            series=name,
            size=16,
            StudyInstanceUID=uid("study", study),
            PatientID=patient,
            Manufacturer="SIEMENS",
            SliceThickness=step_mm,
            ImagePositionPatient=[0.0, 0.0, step_mm * place],
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        )
        for keyword, value in said.items():
            setattr(dataset, keyword, value)
        write(dataset, folder / f"{name}-{place}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A recipe and a lake with its key.

    Attributes
    ----------
    folder, key : Path
    """

    folder: Path
    key: Path

    @property
    def lake(self) -> Path:
        """Folder of the lake."""
        return self.folder / "lake"

    def request(self, *archives: Path, recipe: str = SELECT, **wishes: Any) -> RunRequest:
        """Return a request for the serial engine."""
        path = self.folder / "recipe.toml"
        path.write_text(recipe, encoding="utf-8")
        site = Site(engine="serial", workers=1, key_file=self.key)
        return RunRequest(recipe=str(path), archives=archives, lake=self.lake, site=site, **wishes)

    def run(self, *archives: Path, recipe: str = SELECT, **wishes: Any) -> RunReport:
        """Run in this process."""
        return run_archive(self.request(*archives, recipe=recipe, **wishes), Silent())

    def volumes(self) -> dict[str, dict[str, Any]]:
        """Return the published volumes by kernel and thickness, such as ``B30f 1``."""
        kernels = {row["series_key"]: row["kernel"] for row in rows(self.lake, "series")}
        return {f"{kernels[row['series_key']]} {row['thickness_mm']:g}": row for row in rows(self.lake, "volumes")}

    def worked_on(self) -> set[str]:
        """Return the names of the volumes that stand in ``cases``; no other has features."""
        keys = {row["volume_key"] for row in rows(self.lake, "cases")}
        assert {row["volume_key"] for row in rows(self.lake, "features")} <= keys
        return {name for name, row in self.volumes().items() if row["volume_key"] in keys}
