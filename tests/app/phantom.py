"""Small archives and lakes of one's own, and the whole content of a folder to compare."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table
from medpipe.synth import make_archive
from tests.cli.commands import write_key

RECIPE = """
name = "everything"

[[route]]
name = "ct"
where = { modality = "CT", kind = "volume", min_slices = 3 }
image = [ { op = "window", preset = "soft_tissue" } ]
regions = [ { op = "body" }, { op = "segmentation_objects", map = { nodule = "(?i)nodule" } } ]
features = [
    { name = "first", op = "ibsi", families = ["statistics"] },
    { name = "lbp", op = "lbp", image = "final" },
]

[[route]]
name = "mr"
where = { modality = "MR", min_slices = 3 }
image = [ { op = "zscore" } ]
regions = [ { op = "body" } ]
features = [ { name = "first", op = "ibsi", families = ["statistics"], range = [0, 1000] } ]

[[route]]
name = "rest"
where = { modality = ["PT", "SEG"] }
"""


def uid(*names):
    return generate_uid(entropy_srcs=[str(name) for name in names])


def ct_slice(place, *, series="1", size=64, **elements):
    """Return a CT slice of noise."""
    pixels = np.random.default_rng([place, sum(map(ord, series))]).integers(0, 2000, (size, size)).astype(np.uint16)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    defaults = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": uid("instance", series, place),
        "StudyInstanceUID": uid("study", series),
        "SeriesInstanceUID": uid("series", series),
        "FrameOfReferenceUID": uid("frame", series),
        "PatientID": f"patient {series}",
        "Modality": "CT",
        "Rows": size,
        "Columns": size,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelSpacing": [1.0, 1.0],
        "ImagePositionPatient": [0.0, 0.0, 2.0 * place],
        "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "RescaleSlope": 1.0,
        "RescaleIntercept": -1024.0,
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in {**defaults, **elements}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def write(dataset, path):
    """Write a DICOM file with its meta information."""
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)


def noise_archive(folder, *, series=3, slices=6):
    """Write CT stacks of noise, which no codec makes smaller."""
    for name in map(str, range(series)):
        for place in range(slices):
            write(ct_slice(place, series=name), folder / name / f"{place}.dcm")
    return folder


def content(folder):
    """Return every path below a folder with the digest of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(Path(folder).rglob("*"))
    }


def tables(lake, recipe=None):
    """Return the bytes of the published tables that hold no times."""
    root = Path(lake) / "tables"
    return {
        name: digest
        for name, digest in content(root.resolve()).items()
        if digest and name.split("/")[0] not in {"cases", "runs", "manifest.json", "parts.json"}
    }


def rows(lake, table):
    """Return the rows of a published table."""
    return read_table(Lake.open(Path(lake)), table).to_pylist()


def published(factory):
    """Return (lake, home, archive) of a run over phantoms; made once, and nobody changes it."""
    base = factory.getbasetemp() / "published"
    lake, home, archive = base / "lake", base / "home", base / "phantoms" / "archive"
    if not base.exists():
        make_archive(base / "phantoms", studies=2, seed=9)
        (base / "everything.toml").write_text(RECIPE)
        site = Site(engine="serial", workers=2, key_file=write_key(home))
        request = RunRequest(recipe=str(base / "everything.toml"), archives=(archive,), lake=lake, site=site)
        run_archive(request, Silent())
    return lake, home, archive
