from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from medpipe.archive.voxels import load_volume
from medpipe.ops.normalize import Polarity, Voi, ZScore
from medpipe.work.content import volume_digest


def loaded(stack_of, archive_of, each, *, n=3, **elements):
    """Return the data sets of a stack and its volume; `each` gives a slice what it says of its display."""
    slices = stack_of(n, **elements)
    for place, dataset in enumerate(slices):
        each(dataset, place)
    archive = archive_of(slices)
    (stack,) = archive.assembly.stacks
    volume, _ = load_volume(stack, archive.headers, archive.files.__getitem__, with_display=True)
    return slices, volume


def table(first, entries, bits=12):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", list(entries))
    return item


def test_each_slice_is_shown_as_pydicom_shows_it(stack_of, archive_of):
    functions = ["LINEAR", "LINEAR_EXACT", "SIGMOID"]

    def says(dataset, place):
        dataset.WindowCenter, dataset.WindowWidth = [2000 + 100 * place, 1], [900, 2]
        dataset.VOILUTFunction = functions[place]

    slices, volume = loaded(stack_of, archive_of, says, RescaleSlope=2.0, RescaleIntercept=-100.0)
    found = Voi()(volume)
    for dataset, plane in zip(slices, found.data, strict=True):
        modality = apply_modality_lut(dataset.pixel_array, dataset)
        shown = apply_voi_lut(modality, dataset)
        # pydicom's range is what the stored bits can become
        ends = np.array([0, 2**dataset.BitsStored - 1]) * 2.0 - 100.0
        np.testing.assert_allclose(plane, (shown - ends[0]) / (ends[1] - ends[0]), atol=1e-5)


def test_a_table_comes_before_a_window(stack_of, archive_of):
    entries = np.random.default_rng(2).integers(0, 4096, 500)

    def says(dataset, place):
        dataset.WindowCenter, dataset.WindowWidth = 10, 20
        dataset.VOILUTSequence = [table(1000, entries.tolist()), table(0, [1, 2, 3])]

    slices, volume = loaded(stack_of, archive_of, says)
    assert len(volume.display) == 1
    found = Voi()(volume)
    for dataset, plane in zip(slices, found.data, strict=True):
        modality = apply_modality_lut(dataset.pixel_array, dataset).astype(np.int32)
        np.testing.assert_allclose(plane, apply_voi_lut(modality, dataset, prefer_lut=True) / 4095, atol=1e-6)


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"WindowCenter": 5},
        {"WindowCenter": 5, "WindowWidth": 0},
        {"WindowCenter": 5, "WindowWidth": 0.5},
        {"WindowCenter": 5, "WindowWidth": -3, "VOILUTFunction": "SIGMOID"},
        {"VOILUTSequence": [table(0, [1, 2, 3], bits=3)]},
        {"VOILUTSequence": [Dataset()]},
    ],
)
def test_what_cannot_be_is_no_window(stack_of, archive_of, elements):
    def says(dataset, place):
        for name in ("WindowCenter", "WindowWidth"):
            if name in dataset:
                del dataset[name]
        for name, value in elements.items():
            setattr(dataset, name, value)

    _, volume = loaded(stack_of, archive_of, says)
    assert [one.function for one in volume.display] == [""]


def test_polarity_is_that_of_the_image_or_of_its_presentation(stack_of, archive_of):
    def says(dataset, place):
        dataset.PhotometricInterpretation = "MONOCHROME1" if place == 0 else "MONOCHROME2"
        dataset.PresentationLUTShape = "INVERSE" if place < 2 else "IDENTITY"

    slices, volume = loaded(stack_of, archive_of, says, Modality="DX", RescaleSlope=2.0, RescaleIntercept=10.0)
    by_plane = [one.inverted for one in volume.display]
    assert sorted(by_plane) == [False, True, True]
    top = 2.0 * (2 ** slices[0].BitsStored - 1) + 2 * 10.0
    found = Polarity()(volume)
    for plane, before, inverted in zip(found.data, volume.data, by_plane, strict=True):
        np.testing.assert_allclose(plane, top - before if inverted else before, rtol=1e-6)


def test_display_is_read_only_where_it_is_asked_for_and_enters_the_digest_then(stack_of, archive_of):
    archive = archive_of(stack_of(3))
    plain = archive.load()[0]
    assert plain.display is None
    (stack,) = archive.assembly.stacks
    asked, _ = load_volume(stack, archive.headers, archive.files.__getitem__, with_display=True)
    assert asked.display is not None
    assert volume_digest(plain) == volume_digest(asked)
    assert volume_digest(plain) != volume_digest(asked, display=asked.display)


def test_a_map_says_so_by_its_image_type_and_enters_the_digest_where_an_op_asks(stack_of, archive_of):
    image_type = ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]
    volume = archive_of(stack_of(3, Modality="MR", ImageType=image_type)).load()[0]
    other = archive_of(stack_of(3, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M"])).load()[0]
    assert (volume.quantity, other.quantity) == ("ADC", "")
    assert ZScore.uses_quantity
    assert volume_digest(volume) != volume_digest(volume, quantity=volume.quantity)
    assert volume_digest(other) == volume_digest(other, quantity=other.quantity)


def test_frames_of_a_multi_frame_object_have_their_own_windows(archive_of, tmp_path):
    from medpipe.archive.display import read_displays
    from medpipe.archive.header import read_header

    data = tmp_path / "frames.dcm"
    frames(data)
    raw = data.read_bytes()
    header = read_header(raw, path="frames.dcm", size=len(raw), version="1")
    assert header.code == ""
    shown = read_displays(raw, header)
    assert [(one.function, one.center, one.width) for one in shown] == [
        ("sigmoid", 30.0, 60.0),
        ("linear", 40.0, 400.0),
    ]
    assert dcmread(data).NumberOfFrames == 2


def frames(path):
    """Write an enhanced object: the first frame has its own window, the second that of all."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

    def window(**elements):
        group, inner = Dataset(), Dataset()
        for name, value in elements.items():
            setattr(inner, name, value)
        group.FrameVOILUTSequence = [inner]
        return group

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=["frames"])
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2", "1.3", "CT"
    dataset.Rows = dataset.Columns = 4
    dataset.NumberOfFrames, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 2, 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.SharedFunctionalGroupsSequence = [window(WindowCenter=40, WindowWidth=400)]
    dataset.PerFrameFunctionalGroupsSequence = [
        window(WindowCenter=30, WindowWidth=60, VOILUTFunction="SIGMOID"),
        Dataset(),
    ]
    dataset.PixelData = bytes(2 * 2 * 16)
    dataset.save_as(path, enforce_file_format=True)
