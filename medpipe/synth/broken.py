"""Files that must be refused: what years of transfers leave in an archive."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset

from medpipe.synth.cohort import uid
from medpipe.synth.truth import BrokenTruth

_FOLDER = "incoming"
_NOTE = "Export finished with warnings, see the log of the sending system.\n"


def plant_broken(archive: Path, sample: str, *, seed: int) -> tuple[BrokenTruth, ...]:
    """Put broken files into the archive's ``incoming`` folder.

    Damaged images are copies under UIDs of their own, so no sound series loses a slice.

    Parameters
    ----------
    archive : Path
    sample : str
        Path of a sound, uncompressed image, relative to the archive.
    seed : int
    """
    folder = archive / _FOLDER
    folder.mkdir()
    whole = _bytes(_relabelled(archive / sample, seed, "cut"))
    contents = {
        "IM00001.part": (whole[: len(whole) - 6000], "cut off in the pixel data", "E_TRUNCATED"),
        "IM00002.part": (whole[:700], "cut off in the header", "E_TRUNCATED"),
        "IM00003": (_half_the_pixels(archive / sample, seed), "half of the pixel data", "E_TRUNCATED"),
        "IM00004": (_without_sop_class(archive / sample, seed), "no SOP class", "E_NO_SOP_CLASS"),
        "IM00005": (b"", "empty", "E_EMPTY"),
        "README": (_NOTE.encode(), "a text", "E_NOT_DICOM"),
    }
    for name, (data, _, _) in contents.items():
        (folder / name).write_bytes(data)
    (folder / "latest").symlink_to(Path("..") / sample)
    found = [BrokenTruth(path=f"{_FOLDER}/{name}", what=what, code=c) for name, (_, what, c) in contents.items()]
    return (*found, BrokenTruth(path=f"{_FOLDER}/latest", what="a symbolic link", code="E_SYMLINK"))


def _relabelled(path: Path, seed: int, what: str) -> Dataset:
    ds = dcmread(path)
    ds.SeriesInstanceUID = uid(seed, "broken series", what)
    ds.SOPInstanceUID = uid(seed, "broken instance", what)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def _half_the_pixels(path: Path, seed: int) -> bytes:
    ds = _relabelled(path, seed, "half")
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 4 * 2]
    return _bytes(ds)


def _without_sop_class(path: Path, seed: int) -> bytes:
    ds = _relabelled(path, seed, "classless")
    del ds.SOPClassUID
    del ds.file_meta.MediaStorageSOPClassUID
    return _bytes(ds)


def _bytes(ds: Dataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=False)
    return buffer.getvalue()
