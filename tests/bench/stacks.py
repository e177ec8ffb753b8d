"""From the files of a series to its voxels in HU.

The series is 100 uncompressed CT slices, their names in another order than their positions.
The peers are a pydicom loop as a careful person writes it (int16, preallocated, rescaled in
place) and SimpleITK's series reader. medpipe returns float32, and checks that every file is what
the scan saw. As in a sandbox, it has read a series before and writes where that one was; then the loop
does so too. Headers have as many elements as scanners write.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

from medpipe.archive.assemble import Assembly, assemble
from medpipe.archive.header import Header
from medpipe.archive.heads import Heads
from medpipe.archive.memory import KeptMemory
from medpipe.archive.source import FolderSource, Loader
from medpipe.archive.voxels import load_volume
from medpipe.types import Volume
from medpipe.work.files import Files
from tests.bench.ordinary import ordinary_slice
from tests.bench.paired import Bench

SHAPE = (100, 512, 512)
INTERCEPT = -1024


def benches(folder: Path) -> Iterator[Bench]:
    """Yield the comparisons: order known to both, then from the bare folder."""
    stored = _stored()
    names = [str(path) for path in write_series(folder, stored)]
    source = FolderSource(folder, stays=True)
    headers = read_headers(source)
    assembly = assemble(list(headers.values()))
    moved = {"moved_bytes": stored.nbytes + 4 * stored.size}
    fresh = {"fresh_bytes": 12 * stored.size}
    mb = {"items": stored.nbytes >> 20, "item": "MB stored"}
    size = "100x512x512 int16"
    # both sides have read a series of this size before
    memory, file_memory = KeptMemory(4 * stored.size), KeptMemory(1 << 20)
    theirs, heads = np.ones(SHAPE, dtype=np.int16), Heads()

    def at_hand() -> np.ndarray:
        return load_volume(assembly.stacks[0], headers, Loader(source).open)[0].data

    def in_kept_memory() -> np.ndarray:
        into = memory.array(assembly.stacks[0].shape)
        return load_volume(assembly.stacks[0], headers, Loader(source, file_memory).open, into=into)[0].data

    def as_a_case() -> np.ndarray:
        contents = {path: header.content for path, header in headers.items()}
        files = Files(source, contents, heads, memory=file_memory)
        into = memory.array(assembly.stacks[0].shape)
        return load_volume(assembly.stacks[0], files, files.open, into=into)[0].data

    for subject, ours, into, asked in (
        ("stack, headers known", in_kept_memory, theirs, {}),
        ("stack, as a case", as_a_case, theirs, {}),
        ("stack, fresh memory", at_hand, None, fresh),
    ):
        yield Bench(
            subject=subject,
            size=size,
            ours=ours,
            peer="pydicom loop, int16",
            theirs=partial(pydicom_loop, names, into),
            difference=largest,
            **asked,
            **moved,
            **mb,
        )
    yield Bench(
        subject="stack, headers known",
        size=size,
        ours=in_kept_memory,
        peer="SimpleITK, files given",
        theirs=lambda: sitk_series(names),
        difference=largest,
        **fresh,
        **moved,
    )
    yield Bench(
        subject="stack, from a folder",
        size=size,
        ours=lambda: _from_folder(folder).data,
        peer="pydicom, sorted",
        theirs=lambda: pydicom_loop(_sorted_names(folder)),
        difference=largest,
        **fresh,
    )
    yield Bench(
        subject="stack, from a folder",
        size=size,
        ours=lambda: _from_folder(folder).data,
        peer="SimpleITK, GDCM names",
        theirs=lambda: sitk_series(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))),
        difference=largest,
        **fresh,
    )


def write_series(folder: Path, stored: np.ndarray) -> list[Path]:
    """Write a CT series; return its files in the order of their positions."""
    order = np.random.default_rng(5).permutation(len(stored))
    return [_write_slice(folder / f"IM{order[k]:04d}", pixels, k) for k, pixels in enumerate(stored)]


def read_headers(source: FolderSource) -> dict[str, Header]:
    """Return the headers of a folder by path, as a scan reads them."""
    heads, found = Heads(), {}
    for item in source.scan():
        with source.opened(item.path) as file:
            found[item.path] = heads.read(file, path=item.path, size=item.size, version=item.version)
    return found


def pydicom_loop(names: list[str], into: np.ndarray | None = None) -> np.ndarray:
    """Return the HU of slices given in order, as int16, in an array that was written before or a new one."""
    first = pydicom.dcmread(names[0], stop_before_pixels=True)
    volume = np.empty((len(names), first.Rows, first.Columns), dtype=np.int16) if into is None else into
    for place, name in enumerate(names):
        dataset = pydicom.dcmread(name)
        np.multiply(dataset.pixel_array, int(dataset.RescaleSlope), out=volume[place], casting="unsafe")
        volume[place] += int(dataset.RescaleIntercept)
    return volume


def sitk_series(names: list[str]) -> np.ndarray:
    """Return the HU of slices given in order, as SimpleITK reads them."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    return sitk.GetArrayFromImage(reader.Execute())


def largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference, whatever the types."""
    return float(np.abs(ours - theirs.astype(np.float32)).max()) if ours.shape == theirs.shape else np.inf


def _from_folder(folder: Path) -> Volume:
    source = FolderSource(folder)
    headers = read_headers(source)
    assembly: Assembly = assemble(list(headers.values()))
    return load_volume(assembly.stacks[0], headers, Loader(source).open)[0]


def _sorted_names(folder: Path) -> list[str]:
    placed = []
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["ImagePositionPatient"])
        placed.append((float(dataset.ImagePositionPatient[2]), str(path)))
    return [name for _, name in sorted(placed)]


def _stored() -> np.ndarray:
    rng = np.random.default_rng(9)
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    body = np.where((y - 256) ** 2 + (x - 256) ** 2 < (200 + z % 9) ** 2, 1064, 24)
    return (body + rng.integers(-20, 21, SHAPE)).astype(np.int16)


def _write_slice(path: Path, pixels: np.ndarray, k: int) -> Path:
    changes = {
        "InstanceNumber": len(pixels) - k,
        "RescaleSlope": 1,
        "RescaleIntercept": INTERCEPT,
        "PixelPaddingValue": -2000,
    }
    dataset = ordinary_slice(pixels, k, SOPInstanceUID=f"2.25.1234{k:04d}", **changes)
    dataset.save_as(path, enforce_file_format=True)
    return path
