"""Faults of what is in a series: copies, strangers, lost and cut files, counts, times."""

from __future__ import annotations

import numpy as np

from tests.faults.edits import anywhere, as_bytes, edited, inner, one_refused, packed, planted, renamed, with_files
from tests.faults.registry import fault
from tests.faults.series import Series, decimals, to_bytes, uid
from tests.faults.values import JPEG_2000, RLE
from tests.faults.verdicts import Check, Found, Planted, flagged, is_volume, refused, split_off, without

# --- copies -----------------------------------------------------------------------------------


@fault("one UID for two images")
def shared_uid(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    other = as_bytes(series.files[index], PixelData=series.stored[index - 1].tobytes())
    return with_files(series, rng, {"other": other}, without(series, [index], apart=_conflict(2)))


@fault("one UID for one image at two places")
def shared_uid_elsewhere(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    other = as_bytes(series.files[index], ImagePositionPatient=decimals(series.places[index] + 1000))
    return with_files(series, rng, {"other": other}, without(series, [index], apart=_conflict(2)))


@fault("one UID for one image with two slopes", "ct", "pet")
def shared_uid_rescaled(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    other = as_bytes(series.files[index], RescaleSlope="17")
    return with_files(series, rng, {"other": other}, without(series, [index], apart=_conflict(2)))


@fault("one UID for one image with two spacings")
def shared_uid_respaced(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    other = as_bytes(series.files[index], PixelSpacing=["9", "9"])
    return with_files(series, rng, {"other": other}, without(series, [index], apart=_conflict(2)))


@fault("one UID for all images")
def one_uid(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, SOPInstanceUID=uid("all", series.seed))
    return planted(changed, rng, _conflict(len(series)))


@fault("a copy of a slice under another UID")
def copied_slice(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    copy = as_bytes(series.files[index], SOPInstanceUID=uid("copy", series.seed), InstanceNumber=999)
    return with_files(series, rng, {"copy": copy}, refused("E_REPEATED_POSITIONS"))


@fault("a copy of the whole series under other UIDs")
def copied_series(series: Series, rng: np.random.Generator) -> Planted:
    copies = {f"copy{index}": to_bytes(one) for index, one in enumerate(renamed(series, salt="copy").files)}
    return with_files(series, rng, copies, refused("E_AMBIGUOUS_4D"))


@fault("a copy of the whole series under other UIDs and numbers")
def renumbered_series(series: Series, rng: np.random.Generator) -> Planted:
    other = renamed(series, salt="copy")
    for index, dataset in enumerate(other.files):
        dataset.InstanceNumber = 1000 + index
    copies = {f"copy{index}": to_bytes(one) for index, one in enumerate(other.files)}
    return with_files(series, rng, copies, refused("E_AMBIGUOUS_4D"))


# --- strangers --------------------------------------------------------------------------------


@fault("two patients in one series")
def two_patients(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, [anywhere(series, rng)], PatientID="another"), rng, refused("E_MIXED_SERIES"))


@fault("two modalities in one series")
def two_modalities(series: Series, rng: np.random.Generator) -> Planted:
    other = {"ct": "PT", "mr": "CT", "pet": "MR"}[series.kind]
    return planted(edited(series, [anywhere(series, rng)], Modality=other), rng, refused("E_MIXED_SERIES"))


@fault("two units in one PET series", "pet")
def two_units(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, [anywhere(series, rng)], Units="CNTS"), rng, refused("E_MIXED_SERIES"))


@fault("another rescale type in one CT slice", "ct")
def two_rescale_types(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, [anywhere(series, rng)], RescaleType="MGML"), rng, refused("E_MIXED_SERIES"))


@fault("two echoes, slice by slice in turn", "mr")
def mixed_echoes(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, range(0, len(series), 2), EchoTime="80"), rng, flagged(series, "W_MIXED"))


@fault("another echo in one slice", "mr")
def one_other_echo(series: Series, rng: np.random.Generator) -> Planted:
    return planted(edited(series, [anywhere(series, rng)], EchoTime="80"), rng, flagged(series, "W_MIXED"))


@fault("two echoes at every place", "mr")
def two_echoes(series: Series, rng: np.random.Generator) -> Planted:
    other = renamed(edited(_other_pixels(series, rng), EchoTime="80"), salt="echo")
    return _both(series, other, rng)


@fault("magnitude and phase at every place", "mr")
def two_types(series: Series, rng: np.random.Generator) -> Planted:
    other = edited(_other_pixels(series, rng), ImageType=["ORIGINAL", "PRIMARY", "P"])
    return _both(series, renamed(other, salt="phase"), rng)


@fault("two reconstruction kernels at every place", "ct")
def two_kernels(series: Series, rng: np.random.Generator) -> Planted:
    return _both(series, renamed(edited(_other_pixels(series, rng), ConvolutionKernel="B70f"), salt="kernel"), rng)


@fault("another kernel in a part of the slices", "ct")
def mixed_kernels(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, range(int(rng.integers(1, 5))), ConvolutionKernel="B70f")
    return planted(changed, rng, flagged(series, "W_MIXED"))


@fault("another tube voltage in a part of the slices", "ct")
def mixed_voltages(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, range(int(rng.integers(1, 5))), KVP="80")
    return planted(changed, rng, flagged(series, "W_MIXED"))


@fault("another kind of image in one slice", "ct", "mr")
def mixed_types(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, [anywhere(series, rng)], ImageType=["ORIGINAL", "PRIMARY", "OTHER"])
    return planted(changed, rng, flagged(series, "W_MIXED"))


@fault("a derived image among originals")
def one_derived(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    kind = series.files[index].ImageType[2]
    changed = edited(series, [index], ImageType=["DERIVED", "SECONDARY", kind])
    return planted(changed, rng, split_off(series, (series, [index])))


@fault("a localizer in the series", "ct")
def localizer(series: Series, rng: np.random.Generator) -> Planted:
    frontal = decimals((1, 0, 0, 0, 0, -1) if abs(series.turn[2][1]) < 0.7 else (1, 0, 0, 0, 1, 0))
    scout = as_bytes(
        series.files[0],
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImageOrientationPatient=frontal,
        SOPInstanceUID=uid("scout", series.seed),
    )

    def check(found: Found) -> bool:
        codes = sorted(stack.code for stack in found.stacks)
        return codes == ["", "W_LOCALIZER"] and any(is_volume(*one, series) for one in found.volumes)

    return with_files(series, rng, {"scout": scout}, check)


@fault("a mosaic that has lost the elements to unpack it", "mr")
def bare_mosaic(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    return planted(changed, rng, refused("E_MOSAIC"))


# --- lost and cut files -----------------------------------------------------------------------


@fault("a file cut in its pixels")
def cut_pixels(series: Series, rng: np.random.Generator) -> Planted:
    return _replaced(series, rng, lambda data: data[: len(data) - int(rng.integers(1, 60))], "E_TRUNCATED")


@fault("a file cut in its header")
def cut_header(series: Series, rng: np.random.Generator) -> Planted:
    # elements end at even places, and a file that ends with an element is whole, without pixels
    return _replaced(series, rng, lambda data: data[: 2 * int(rng.integers(210, 350)) + 1], "E_TRUNCATED")


@fault("an empty file")
def empty(series: Series, rng: np.random.Generator) -> Planted:
    return _replaced(series, rng, lambda _: b"", "E_EMPTY")


@fault("a file without pixels")
def no_pixels(series: Series, rng: np.random.Generator) -> Planted:
    return one_refused(series, rng, "E_UNSUPPORTED_SOP", PixelData=None)


@fault("pixels of no length")
def empty_pixels(series: Series, rng: np.random.Generator) -> Planted:
    return one_refused(series, rng, "E_TRUNCATED", PixelData=b"")


@fault("a file that does not say what it is")
def classless(series: Series, rng: np.random.Generator) -> Planted:
    def taken(data: bytes) -> bytes:
        start = data.index(b"\x08\x00\x16\x00UI")
        return data[:start] + data[start + 8 + int.from_bytes(data[start + 6 : start + 8], "little") :]

    return _replaced(series, rng, taken, "E_NO_SOP_CLASS")


@fault("a run-length encoded file without its end")
def cut_stream(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    cut = to_bytes(packed(series.files[index], RLE))[:-8]
    return _replaced(series, rng, lambda _: cut, "E_TRUNCATED", index=index)


# --- counts -----------------------------------------------------------------------------------


@fault("more frames counted than there are")
def frames_too_many(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    changed = edited(series, [index], NumberOfFrames=int(rng.choice([2, 3, 5000])))
    return planted(changed, rng, without(series, [index], "E_TRUNCATED"))


@fault("more frames than are counted")
def frames_too_few(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    changed = edited(series, [index], PixelData=series.files[index].PixelData * int(rng.integers(2, 5)))
    return planted(changed, rng, flagged(series, "W_EXCESS"))


@fault("more run-length encoded frames than are counted")
def fragments_too_many(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    double = as_bytes(_doubled(series, index, RLE), NumberOfFrames=1)
    return _replaced(series, rng, lambda _: double, "E_FRAME_COUNT", index=index)


@fault("more compressed frames than are counted", "mr")
def streams_too_many(series: Series, rng: np.random.Generator) -> Planted:
    large = series.changed(stored=np.pad(series.stored, [(0, 0), (0, 32), (0, 32)]))
    index = anywhere(large, rng)
    large = edited(large, Rows=large.stored.shape[1], Columns=large.stored.shape[2])
    for place, dataset in enumerate(large.files):
        dataset.PixelData = large.stored[place].tobytes()
    double = as_bytes(_doubled(large, index, JPEG_2000), NumberOfFrames=1)
    files = {f"{k}": double if k == index else to_bytes(one) for k, one in enumerate(large.files)}
    return Planted(files, refused("E_FRAME_COUNT"))


@fault("fewer fragments than frames are counted")
def fragments_too_few(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    few = as_bytes(packed(series.files[index], RLE), NumberOfFrames=3)
    return _replaced(series, rng, lambda _: few, "E_FRAME_COUNT", index=index)


@fault("the last slice missing of a PET that counts them", "pet")
def last_missing(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    del changed.files[-1 if rng.integers(2) else 0]
    kept = [index for index in range(len(series)) if series.files[index] in changed.files]

    def check(found: Found) -> bool:
        told = [stack.code for stack in found.stacks] == ["W_COUNT"]
        return told and len(found.volumes) == 1 and is_volume(*found.volumes[0], series, kept)

    return planted(changed, rng, check)


# --- times ------------------------------------------------------------------------------------


@fault("an image of a time series missing", "timed")
def time_missing(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    # of the last volume of three or more, the others are told by their times
    most = len(changed.files) if series.n_times == 2 else len(changed.files) - len(series)
    del changed.files[int(rng.integers(most))]
    return planted(changed, rng, refused("E_REPEATED_POSITIONS"))


@fault("a time series cut in its last volume", "timed")
def time_cut(series: Series, rng: np.random.Generator) -> Planted:
    changed = series.changed()
    n_cut = int(rng.integers(1, len(series)))
    numbered = sorted(changed.files, key=lambda one: (one.TemporalPositionIdentifier, one.InstanceNumber))
    lost = {id(one) for one in numbered[-n_cut:]}
    changed.files[:] = [one for one in changed.files if id(one) not in lost]
    if series.n_times == 2:
        return planted(changed, rng, refused("E_REPEATED_POSITIONS"))

    def check(found: Found) -> bool:
        told = sorted(stack.code for stack in found.stacks) == ["E_INCOMPLETE", "W_PARTIAL"]
        return told and all(np.array_equal(volume.data, series.values()[:-1]) for _, volume in found.volumes)

    return planted(changed, rng, check)


@fault("a time series without times, its numbers drawn", "timed")
def untimed_at_random(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, TemporalPositionIdentifier=None)
    numbers = rng.permutation(len(changed.files)) + 1
    # the first and the last place exchange times, so no count of places or times can fit
    numbers[:2], numbers[-2:] = (1, len(numbers)), (2, len(numbers) - 1)
    numbers[2:-2] = rng.permutation(np.arange(3, len(numbers) - 1))
    for dataset, number in zip(changed.files, numbers, strict=True):
        dataset.InstanceNumber = int(number)
    return planted(changed, rng, refused("E_AMBIGUOUS_4D"))


@fault("a time series without times and numbers", "timed")
def untimed(series: Series, rng: np.random.Generator) -> Planted:
    changed = edited(series, TemporalPositionIdentifier=None, InstanceNumber=None)
    return planted(changed, rng, refused("E_AMBIGUOUS_4D"))


@fault("times of a place counted otherwise", "timed")
def times_differ(series: Series, rng: np.random.Generator) -> Planted:
    index = anywhere(series, rng)
    changed = edited(series, [index + (series.n_times - 1) * len(series)], TemporalPositionIdentifier=99)
    return planted(changed, rng, refused("E_AMBIGUOUS_4D"))


@fault("a gap in a time series", "timed")
def timed_gap(series: Series, rng: np.random.Generator) -> Planted:
    (gone,) = inner(series, rng)
    changed = series.changed()
    changed.files[:] = [one for index, one in enumerate(changed.files) if index % len(series) != gone]
    kept = [index for index in range(len(series)) if index != gone]

    def check(found: Found) -> bool:
        told = [stack.code for stack in found.stacks] == ["E_GAP"] and len(found.volumes) == 1
        missing = found.stacks[0].missing_mm
        right = missing is not None and np.allclose(missing, [series.along_mm[gone]], atol=1e-3)
        return told and right and is_volume(*found.volumes[0], series, kept)

    return planted(changed, rng, check)


# --- shared -----------------------------------------------------------------------------------


def _conflict(n: int) -> Check:
    return lambda found: len(found.with_code("E_DUP_UID_DIFF")) == n


def _other_pixels(series: Series, rng: np.random.Generator) -> Series:
    other = series.changed(stored=rng.permutation(series.stored))
    for index, dataset in enumerate(other.files):
        dataset.PixelData = other.stored[index].tobytes()
    return other


def _both(series: Series, other: Series, rng: np.random.Generator) -> Planted:
    files = {f"other{index}": to_bytes(one) for index, one in enumerate(other.files)}

    def check(found: Found) -> bool:
        whole = len(found.stacks) == len(found.volumes) == 2 and not any(stack.flags for stack in found.stacks)
        return whole and all(any(is_volume(*one, each) for one in found.volumes) for each in (series, other))

    return with_files(series, rng, files, check)


def _replaced(series: Series, rng: np.random.Generator, how, code: str, *, index: int | None = None) -> Planted:
    index = anywhere(series, rng) if index is None else index
    files = {f"{k}": to_bytes(one) for k, one in enumerate(series.files)}
    files[f"{index}"] = how(files[f"{index}"])
    return Planted(files, without(series, [index], code))


def _doubled(series: Series, index: int, syntax: str):
    double = as_bytes(series.files[index], NumberOfFrames=2, PixelData=np.stack([series.stored[index]] * 2).tobytes())
    return packed(_read(double), syntax)


def _read(data: bytes):
    from io import BytesIO

    from pydicom import dcmread

    return dcmread(BytesIO(data))
