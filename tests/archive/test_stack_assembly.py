from __future__ import annotations

import json
import random

import numpy as np
import pytest
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from medpipe.archive.assemble import assemble
from medpipe.archive.stacks import Stack


def affine_of(stack) -> np.ndarray:
    return np.array(stack.affine_lps).reshape(4, 4)


def only(archive) -> Stack:
    (stack,) = archive.assembly.stacks
    return stack


@pytest.mark.parametrize("angles", [(0, 0, 0), (90, 0, 0), (0, 90, 0), (30, 20, 0), (45, 45, 10)])
def test_shuffled_slices_make_the_volume_they_were_cut_from(slice_of, archive_of, angles):
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    voxels = np.random.default_rng(1).integers(0, 4000, (9, 6, 8)).astype(np.uint16)
    first, step = np.array([-50.0, 20.0, 7.0]), turn[:, 2] * 2.5
    orientation = (*turn[:, 0], *turn[:, 1])
    numbers = list(range(1, 10))
    random.Random(3).shuffle(numbers)
    slices = [
        slice_of(voxels[k], position=first + k * step, orientation=orientation, InstanceNumber=numbers[k])
        for k in range(9)
    ]
    random.Random(4).shuffle(slices)
    archive = archive_of(slices)
    stack = only(archive)
    volume, quantization = archive.load()
    expected = np.eye(4)
    expected[:3] = np.column_stack([turn[:, 0] * 0.75, turn[:, 1] * 0.5, step, first])
    corners = np.array([[i, j, k, 1] for i in (0, 7) for j in (0, 5) for k in (0, 8)]).T
    assert np.abs((affine_of(stack) - expected) @ corners).max() < 1e-6
    assert stack.verdict == "regular"
    assert stack.spacing_mm == pytest.approx((2.5, 0.5, 0.75))
    assert np.array_equal(volume.data, voxels.astype(np.float32) - 1024)
    assert (volume.unit, quantization) == ("HU", (1.0, -1024.0))


def test_affine_equals_simpleitk(stack_of, bytes_of, archive_of, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    slices = stack_of(5)
    for k, dataset in enumerate(slices):
        (tmp_path / f"{k}.dcm").write_bytes(bytes_of(dataset))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(tmp_path / f"{k}.dcm") for k in range(5)])
    image = reader.Execute()
    archive = archive_of(slices)
    affine = affine_of(only(archive))
    assert np.allclose(image.GetOrigin(), affine[:3, 3], atol=1e-5)
    direction = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    assert np.allclose(direction, affine[:3, :3], atol=1e-5)
    assert np.array_equal(sitk.GetArrayFromImage(image), archive.load()[0].data)


def test_a_stack_survives_json(stack_of, archive_of):
    stack = only(archive_of(stack_of(4)))
    assert Stack.from_json(json.loads(json.dumps(stack.to_json()))) == stack


def test_gantry_tilt_keeps_the_sheared_column(stack_of, archive_of):
    step = (0.0, np.sin(np.deg2rad(12.5)) * 5, np.cos(np.deg2rad(12.5)) * 5)
    stack = only(archive_of(stack_of(8, step=step)))
    assert (stack.verdict, stack.code) == ("tilted", "W_TILTED")
    assert affine_of(stack)[:3, 2] == pytest.approx(step, abs=1e-6)
    assert stack.spacing_mm[0] == pytest.approx(step[2])
    assert stack.tilt_deg == pytest.approx(12.5, abs=1e-6)


def test_all_that_is_true_of_a_stack_is_said(stack_of, archive_of):
    slices = stack_of(8, step=(0.0, 1.0, 5.0), LossyImageCompression="01")
    slices[2].ConvolutionKernel = "B70f"
    del slices[4]
    stack = only(archive_of(slices))
    assert (stack.code, stack.flags) == ("E_GAP", ("E_GAP", "W_TILTED", "W_MIXED", "W_LOSSY"))


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ([1, 2, 3, 4, 5, 6], "series4d"),  # time by time
        ([1, 3, 5, 2, 4, 6], "series4d"),  # place by place
        ([3, 1, 2, 6, 5, 4], "series4d"),  # time by time, places at random
        ([7, 7, 7, 9, 9, 9], "series4d"),  # alike at all places
        ([1, 4, 3, 2, 5, 6], None),
        ([1, 1, 1, 2, 2, 9], None),
    ],
)
def test_numbers_order_times_only_if_they_count_them(stack_of, archive_of, numbers, kind):
    slices = [*stack_of(3), *stack_of(3, SeriesNumber=1)]
    for place, (dataset, number) in enumerate(zip(slices, numbers, strict=True)):
        dataset.SOPInstanceUID = f"1.2.3.{place}"
        dataset.InstanceNumber = number
    stack = only(archive_of(slices))
    assert (stack.kind if kind else stack.code) == (kind or "E_AMBIGUOUS_4D")


def test_a_missing_slice_is_said(stack_of, archive_of):
    slices = stack_of(10)
    del slices[4]
    stack = only(archive_of(slices))
    assert (stack.verdict, stack.code, stack.shape[0]) == ("missing_slices", "E_GAP", 9)
    assert np.diff(stack.slice_positions_mm) == pytest.approx([2.5, 2.5, 2.5, 5.0, 2.5, 2.5, 2.5, 2.5])
    assert stack.missing_mm == pytest.approx([30 + 4 * 2.5])


@pytest.mark.parametrize(("gone", "missing"), [([1], [1]), ([2], [2]), ([1, 3, 5], [1, 3, 5]), ([3, 4, 5], [3, 4, 5])])
def test_the_least_step_is_one_step_where_most_are_gaps(stack_of, archive_of, gone, missing):
    slices = stack_of(4 if len(gone) == 1 else 8)
    stack = only(archive_of([one for place, one in enumerate(slices) if place not in gone]))
    assert stack.verdict == "missing_slices"
    assert stack.missing_mm == pytest.approx([30 + 2.5 * place for place in missing])


@pytest.mark.parametrize("far_mm", [2e4, 1e12, 1e300])
def test_a_slice_far_from_all_others_is_no_list_of_missing_ones(slice_of, archive_of, far_mm):
    places = [*map(float, range(250)), far_mm]
    files = {f"{place}": slice_of(np.zeros((4, 4), np.uint16), position=(0, 0, place)) for place in places}
    stack = only(archive_of(files.values()))
    assert stack.verdict in {"uneven", "refused"}
    assert stack.missing_mm is None


def test_thick_slices_after_thin_ones_are_no_gap(stack_of, archive_of):
    slices = stack_of(9)
    kept = [*slices[:5], slices[6], slices[8]]
    for dataset in kept[5:]:
        dataset.SliceThickness = 5.0
    assert only(archive_of(kept)).verdict == "uneven"


def test_uneven_steps_are_said(stack_of, archive_of):
    slices = stack_of(6)
    slices[2].ImagePositionPatient = [-10, -20, 30 + 2 * 2.5 + 0.6]
    stack = only(archive_of(slices))
    assert (stack.verdict, stack.code) == ("uneven", "W_UNEVEN")
    assert len(stack.slice_positions_mm) == 6


def test_slices_shifted_sideways_make_no_stack(stack_of, archive_of):
    slices = stack_of(6)
    slices[3].ImagePositionPatient = [20, -20, 37.5]
    archive = archive_of(slices)
    assert (only(archive).verdict, only(archive).code) == ("refused", "E_MIXED_SERIES")
    assert {item.outcome for item in archive.assembly.outcomes.values()} == {"quarantined"}


def test_equal_bytes_and_reencoded_copies_are_read_once(stack_of, archive_of, bytes_of):
    slices = stack_of(3)
    files = {f"{k}": bytes_of(dataset) for k, dataset in enumerate(slices)}
    files["same"] = files["1"]
    slices[2].compress("1.2.840.10008.1.2.5", encoding_plugin="pydicom", generate_instance_uid=False)
    files["packed"] = bytes_of(slices[2])
    archive = archive_of(files)
    assert only(archive).shape[0] == 3
    outcomes = archive.assembly.outcomes
    assert outcomes["same"] == outcomes["packed"] == ("duplicate", "E_DUP_UID_SAME")


def test_one_identifier_with_two_images_keeps_both_apart(stack_of, archive_of, bytes_of):
    slices = stack_of(4)
    files = {f"{k}": bytes_of(dataset) for k, dataset in enumerate(slices)}
    slices[3].PixelData = bytes(len(slices[3].PixelData))
    files["other"] = bytes_of(slices[3])
    archive = archive_of(files)
    stacks = archive.assembly.stacks
    assert sorted(stack.shape[0] for stack in stacks) == [1, 1, 3]
    assert [stack.code for stack in stacks].count("E_DUP_UID_DIFF") == 2
    assert archive.assembly.outcomes["other"] == ("used", "E_DUP_UID_DIFF")
    assert len({stack.identity for stack in stacks}) == 3


def test_slopes_are_applied_slice_by_slice(stack_of, archive_of):
    slices = stack_of(5)
    slopes = [0.37, 1.91, 2.0 / 3, 1e-3, 12.5]
    for dataset, slope in zip(slices, slopes, strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{slope:.12g}", 0
    archive = archive_of(slices)
    volume, quantization = archive.load()
    for k, dataset in enumerate(slices):
        stored = np.frombuffer(dataset.PixelData, np.uint16).reshape(6, 8)
        assert np.array_equal(volume.data[k], (stored * float(f"{slopes[k]:.12g}")).astype(np.float32))
    assert quantization is None


def test_repeats_become_time_ordered_within_each_place(stack_of, archive_of):
    slices = [*stack_of(3), *stack_of(3, SeriesNumber=1)]
    for k, dataset in enumerate(slices):
        dataset.SOPInstanceUID = f"1.2.3.{k}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        # within a place the numbers ascend with time; across places they are in no order
        dataset.InstanceNumber = [50, 10, 30][k % 3] + k // 3
    random.Random(2).shuffle(slices)
    archive = archive_of(slices)
    stack = only(archive)
    assert (stack.kind, stack.axes, stack.shape) == ("series4d", "tzyx", (2, 3, 6, 8))
    numbers = [archive.headers[member.path].instance_number for member in stack.members]
    assert numbers == [50, 10, 30, 51, 11, 31]


def test_echoes_are_told_apart(stack_of, archive_of):
    slices = [*stack_of(3, EchoTime=10.0), *stack_of(3, EchoTime=80.0, SeriesNumber=1)]
    for k, dataset in enumerate(slices):
        dataset.SOPInstanceUID = f"1.2.3.{k}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    archive = archive_of(slices)
    assert [stack.shape for stack in archive.assembly.stacks] == [(3, 6, 8), (3, 6, 8)]


def test_uneven_repeats_are_refused(stack_of, archive_of):
    slices = stack_of(3)
    extra = stack_of(3)[1]
    extra.SOPInstanceUID = extra.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    extra.InstanceNumber = 9
    assert only(archive_of([*slices, extra])).code == "E_REPEATED_POSITIONS"


def test_series_are_never_joined(stack_of, archive_of):
    slices = [*stack_of(2), *stack_of(2, first=(-10, -20, 35), SeriesInstanceUID="1.2.9")]
    assert [stack.shape[0] for stack in archive_of(slices).assembly.stacks] == [2, 2]


@pytest.mark.parametrize(
    ("element", "broken", "code"),
    [
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "E_ORIENTATION"),
        ("ImageOrientationPatient", [2, 0, 0, 0, 1, 0], "E_ORIENTATION"),
        ("PixelSpacing", [0, 0.5], "E_SPACING"),
        ("PixelSpacing", None, "E_SPACING"),
        ("PixelSpacing", [1e300, 1e300], "E_SPACING"),
        ("PixelSpacing", [1e-300, 1e-300], "E_SPACING"),
        ("SliceThickness", 1e300, "E_SPACING"),
    ],
)
def test_broken_geometry_is_refused(slice_of, archive_of, element, broken, code):
    archive = archive_of([slice_of(np.zeros((6, 8), np.uint16), **{element: broken})])
    assert (only(archive).verdict, only(archive).code) == ("refused", code)


def test_slices_farther_apart_than_any_image_has_them_are_refused(stack_of, archive_of):
    stack = only(archive_of(stack_of(4, step=(0, 0, 1e200))))
    assert (stack.verdict, stack.code, stack.spacing_mm) == ("refused", "E_SPACING", None)


def test_an_image_without_a_place_is_planar(slice_of, archive_of):
    dataset = slice_of(np.ones((6, 8), np.uint16), Modality="CR", ImagerPixelSpacing=[0.2, 0.1], PixelSpacing=None)
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    stack = only(archive_of([dataset]))
    assert (stack.kind, stack.affine_lps, stack.spacing_mm) == ("planar", None, (1.0, 0.2, 0.1))


def test_a_mosaic_without_its_elements_is_refused(slice_of, archive_of):
    dataset = slice_of(np.ones((6, 8), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    assert only(archive_of([dataset])).code == "E_MOSAIC"


def test_a_slice_that_comes_late_does_not_rename_the_stack(stack_of, archive_of):
    slices = stack_of(6)
    assert only(archive_of(slices)).identity == only(archive_of(slices[:4])).identity


def test_assembly_does_not_depend_on_the_order_of_headers(stack_of, archive_of):
    archive = archive_of([*stack_of(4), *stack_of(3, orientation=(0, 1, 0, 0, 0, -1), step=(-2, 0, 0))])
    headers = list(archive.headers.values())
    for seed in range(5):
        random.Random(seed).shuffle(headers)
        assert assemble(headers).stacks == archive.assembly.stacks


def timed_series(stack_of, n_times=4, n_places=5, *, number=lambda t, p: 1 + t * 5 + p, **timing):
    """Return the slices of a time series by (time, place)."""
    series = {}
    for t in range(n_times):
        for p, dataset in enumerate(stack_of(n_places, SeriesNumber=1)):
            dataset.SOPInstanceUID = f"1.2.3.{t}.{p}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.InstanceNumber = number(t, p)
            dataset.PixelData = np.full((6, 8), 10 * t + p, np.uint16).tobytes()
            for keyword, when in timing.items():
                setattr(dataset, keyword, when(t))
            series[t, p] = dataset
    return series


COUNTED = [
    {},
    {"number": lambda t, p: 100 + t * 5 - p},
    {"TemporalPositionIdentifier": lambda t: t + 1},
    {"number": lambda t, p: 7 * p % 5 + 10 * t, "TemporalPositionIdentifier": lambda t: t + 1},
]


@pytest.mark.parametrize("how", COUNTED)
@pytest.mark.parametrize("cut", [(4,), (1, 2, 3, 4), (2,)])
def test_a_series_cut_in_its_last_volume_keeps_the_others(stack_of, archive_of, how, cut):
    series = timed_series(stack_of, **how)
    for place in cut:
        del series[3, place]
    archive = archive_of({f"{t}-{p}": one for (t, p), one in series.items()})
    (whole,) = (stack for stack in archive.assembly.stacks if not stack.refused)
    (rest,) = (stack for stack in archive.assembly.stacks if stack.refused)
    assert (whole.shape, whole.code, whole.verdict) == ((3, 5, 6, 8), "W_PARTIAL", "regular")
    data = archive.load(archive.assembly.stacks.index(whole))[0].data
    assert np.array_equal(data[..., 0, 0] + 1024, [[10 * t + p for p in range(5)] for t in range(3)])
    assert rest.code == "E_INCOMPLETE"
    left = {path for path, outcome in archive.assembly.outcomes.items() if outcome.code == "E_INCOMPLETE"}
    assert left == {f"3-{p}" for p in range(5) if p not in cut}


@pytest.mark.parametrize("how", COUNTED)
@pytest.mark.parametrize("lost", [(0, 0), (0, 2), (0, 4), (1, 0), (1, 4), (2, 0), (2, 3), (2, 4)])
def test_a_series_that_lost_an_image_elsewhere_is_refused(stack_of, archive_of, how, lost):
    series = timed_series(stack_of, **how)
    del series[lost]
    assert only(archive_of(list(series.values()))).code == "E_REPEATED_POSITIONS"


def test_a_second_volume_that_is_incomplete_makes_no_time_series(stack_of, archive_of):
    series = timed_series(stack_of, n_times=2)
    del series[1, 4]
    assert only(archive_of(list(series.values()))).code == "E_REPEATED_POSITIONS"


def part_of_a_concatenation(slice_of, number: int, total: int | None) -> Dataset:
    """Return a multi-frame object with frames 2 * (number - 1) and the next."""
    frames = np.stack([np.full((6, 8), 2 * number + k, np.uint16) for k in (0, 1)])
    groups = []
    for k in (0, 1):
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 3.0 * (2 * (number - 1) + k)]
        group.PlanePositionSequence = [place]
        groups.append(group)
    measures, orientation, values, shared = (Dataset() for _ in range(4))
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], 3.0
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    values.RescaleSlope, values.RescaleIntercept = 1, 0
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [values]
    lone = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")
    return slice_of(
        frames[0],
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
        SOPInstanceUID=f"1.2.3.{number}",
        NumberOfFrames=2,
        PixelData=frames.tobytes(),
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=[shared],
        ConcatenationUID="1.2.3.9",
        InConcatenationNumber=number,
        InConcatenationTotalNumber=total,
        **dict.fromkeys(lone),
    )


@pytest.mark.parametrize(
    ("numbers", "total", "code"), [((1, 2, 3), 3, ""), ((1, 2), 3, "W_COUNT"), ((1, 3), 3, "E_GAP"), ((1, 2), None, "")]
)
def test_a_concatenation_tells_of_parts_that_are_missing(slice_of, archive_of, numbers, total, code):
    stack = only(archive_of([part_of_a_concatenation(slice_of, number, total) for number in numbers]))
    assert (stack.kind, stack.shape[0], stack.code) == ("enhanced", 2 * len(numbers), code)
    assert ("W_COUNT" in stack.flags) == (total is not None and len(numbers) < total)
