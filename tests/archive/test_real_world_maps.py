from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medpipe.archive.voxels import load_volume
from medpipe.errors import Rejected
from medpipe.ops.real_world import RealWorld
from medpipe.values import RealWorldMap
from medpipe.work.content import volume_digest
from tests.archive.conftest import make_slice

RNG = np.random.default_rng(5)


def map_item(slope=0.5, intercept=-3.0, *, unit="mm2/s", low=0, high=4095, **elements) -> Dataset:
    units, item = Dataset(), Dataset()
    units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", "a meaning"
    item.MeasurementUnitsCodeSequence = [units]
    item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = low, high
    for keyword in ("RealWorldValueFirstValueMapped", "RealWorldValueLastValueMapped"):
        item[keyword].VR = "US"
    item.RealWorldValueSlope, item.RealWorldValueIntercept = slope, intercept
    for keyword, said in elements.items():
        setattr(item, keyword, said)
    return item


def mapped(stack_of, archive_of, maps, *, n=3, **elements):
    """Return the stored numbers of a stack with these maps, one list a slice, and the volume."""
    slices = stack_of(n, **elements)
    for dataset, items in zip(slices, maps, strict=True):
        dataset.RealWorldValueMappingSequence = list(items)
    archive = archive_of(slices)
    (stack,) = archive.assembly.stacks
    volume, _ = load_volume(stack, archive.headers, archive.files.__getitem__, with_maps=True)
    stored = np.stack([np.frombuffer(one.PixelData, np.uint16).reshape(6, 8) for one in slices])
    return stored.astype(float), volume


def test_every_slice_has_its_own_map_of_stored_numbers(stack_of, archive_of):
    slopes = [0.5, 0.25, 2.0]
    stored, volume = mapped(stack_of, archive_of, [[map_item(slope)] for slope in slopes], RescaleSlope=2.0)
    result = RealWorld()(volume)
    wanted = stored * np.array(slopes)[:, None, None] - 3.0
    np.testing.assert_allclose(result.data, wanted, rtol=1e-6)
    assert result.unit == "mm2/s"
    assert result.real_world is None


def test_a_map_is_chosen_by_its_unit(stack_of, archive_of):
    maps = [[map_item(0.1, 0.0, unit="{SUVbw}g/ml"), map_item(7.0, 1.0, unit="Bq/ml")]] * 3
    stored, volume = mapped(stack_of, archive_of, maps)
    assert len(volume.real_world) == 1
    for unit, wanted in (("SUV", stored * 0.1), ("BQML", stored * 7 + 1)):
        result = RealWorld(unit=unit)(volume)
        assert result.unit == unit
        np.testing.assert_allclose(result.data, wanted, rtol=1e-6)
    with pytest.raises(Rejected, match="E_REAL_WORLD"):
        RealWorld()(volume)


@pytest.mark.parametrize(
    "item",
    [
        map_item(high=2000),  # values lie beyond
        map_item(slope=None),
        map_item(RealWorldValueLUTData=[1.0] * 4095),  # one entry too few
        map_item(RealWorldValueLUTData=[1.0] * 4097),
        map_item(RealWorldValueLUTData=[1.0] * 2001, high=2000),
        map_item(RealWorldValueLUTData=[1e300] * 4096),
        map_item(RealWorldValueLUTData=[float("nan")] * 4096),
    ],
)
def test_what_is_no_one_map_for_every_value_is_refused(stack_of, archive_of, item):
    _, volume = mapped(stack_of, archive_of, [[item]] * 3)
    with pytest.raises(Rejected, match="E_REAL_WORLD"):
        RealWorld()(volume)


@pytest.mark.parametrize("rescale", [(1.0, -1024.0), (0.37, 12.5), (-3.0, 0.0), (1e-5, 0.0)])
def test_a_table_gives_each_stored_number_its_entry(stack_of, archive_of, rescale):
    table = RNG.normal(0, 100, 4096)
    item = map_item(7.0, 1.0, RealWorldValueLUTData=table.tolist())  # beside a table slope and intercept do not count
    stored, volume = mapped(
        stack_of, archive_of, [[item]] * 3, RescaleSlope=f"{rescale[0]:g}", RescaleIntercept=f"{rescale[1]:g}"
    )
    result = RealWorld()(volume)
    np.testing.assert_array_equal(result.data, table[stored.astype(int)].astype(np.float32))
    assert (result.unit, result.data.dtype) == ("mm2/s", np.float32)


@pytest.mark.filterwarnings("ignore:The value for the data element")
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_table_of_all_numbers_of_16_bits_is_found_again_through_float32(archive_of, syntax):
    cells = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    item = map_item(high=65535, RealWorldValueLUTData=np.sqrt(np.arange(65536.0)).tolist())
    dataset = make_slice(cells, RescaleSlope="0.0517", RescaleIntercept="-1600", RealWorldValueMappingSequence=[item])
    dataset.file_meta.TransferSyntaxUID = syntax
    archive = archive_of([dataset])
    stack = archive.assembly.stacks[0]
    volume, _ = load_volume(stack, archive.headers, archive.files.__getitem__, with_maps=True)
    assert np.array_equal(RealWorld()(volume).data[0], np.sqrt(cells.astype(float)).astype(np.float32))


def test_padding_may_lie_beyond_a_table(stack_of, archive_of):
    item = map_item(low=1000, high=4095, RealWorldValueLUTData=np.arange(3096.0).tolist())
    slices = stack_of(3)
    for dataset in slices:
        stored = np.maximum(np.frombuffer(dataset.PixelData, np.uint16), 1000)
        stored[0] = 5
        dataset.PixelData = stored.tobytes()
    slices = [(one.add_new("PixelPaddingValue", "US", 5), one)[1] for one in slices]
    for dataset in slices:
        dataset.RealWorldValueMappingSequence = [item]
    archive = archive_of(slices)
    stack = archive.assembly.stacks[0]
    volume, _ = load_volume(stack, archive.headers, archive.files.__getitem__, with_maps=True)
    stored = np.stack([np.frombuffer(one.PixelData, np.uint16).reshape(6, 8) for one in slices]).astype(int)
    measured = stored != 5
    assert np.array_equal(RealWorld()(volume).data[measured], (stored - 1000)[measured].astype(np.float32))


@pytest.mark.parametrize(
    ("elements", "unit"),
    [
        ({"DoseUnits": "GY"}, "Gy"),
        ({"DoseUnits": "RELATIVE"}, "arbitrary"),
        ({"DoseUnits": "GY", "DoseGridScaling": "0"}, None),
        ({"DoseUnits": "GY", "DoseGridScaling": None}, None),
        ({"DoseUnits": "GY", "RescaleSlope": "2", "RescaleIntercept": "0"}, None),
    ],
)
def test_the_scaling_of_a_dose_grid_is_a_map(archive_of, elements, unit):
    cells = RNG.integers(0, 1 << 32, (2, 6, 8), dtype=np.uint32)
    given = {"DoseGridScaling": "3.5e-8", "RescaleSlope": None, "RescaleIntercept": None, **elements}
    dataset = make_slice(
        cells[0],
        SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2",
        Modality="RTDOSE",
        NumberOfFrames=2,
        GridFrameOffsetVector=["0", "3"],
        FrameIncrementPointer=0x3004000C,
        BitsAllocated=32,
        BitsStored=32,
        HighBit=31,
        PixelData=cells.tobytes(),
        **given,
    )
    archive = archive_of([dataset])
    (stack,) = archive.assembly.stacks
    volume, _ = load_volume(stack, archive.headers, archive.files.__getitem__, with_maps=True)
    scale = (2.0, 0.0) if elements.get("RescaleSlope") else (1.0, 0.0)
    assert np.array_equal(volume.data, (cells * scale[0]).astype(np.float32))
    assert stack.real_world_map == (given["DoseGridScaling"] is not None)
    if unit is None:
        with pytest.raises(Rejected, match="E_REAL_WORLD"):
            RealWorld()(volume)
        return
    result = RealWorld()(volume)
    assert result.unit == unit
    np.testing.assert_allclose(result.data, cells * 3.5e-8, rtol=2e-7)


def test_an_image_without_maps_is_refused(stack_of, archive_of):
    archive = archive_of(stack_of(3))
    with pytest.raises(Rejected, match="E_REAL_WORLD"):
        RealWorld()(archive.load()[0])


def test_units_are_words_of_a_closed_list(stack_of, archive_of):
    _, volume = mapped(stack_of, archive_of, [[map_item(unit="Jane Doe")]] * 3)
    assert RealWorld()(volume).unit == "arbitrary"


def test_maps_are_read_only_where_they_are_asked_for_and_enter_the_digest_then(stack_of, archive_of):
    slices = stack_of(3)
    for dataset in slices:
        dataset.RealWorldValueMappingSequence = [map_item()]
    archive = archive_of(slices)
    plain, _ = archive.load()
    assert plain.real_world is None
    with_maps, _ = load_volume(archive.assembly.stacks[0], archive.headers, archive.files.__getitem__, with_maps=True)
    assert with_maps.real_world == ((RealWorldMap("mm2/s", 0.5, 509.0, -1024.0, 3071.0),),)
    assert volume_digest(plain, real_world=plain.real_world) == volume_digest(plain)
    assert volume_digest(with_maps, real_world=with_maps.real_world) != volume_digest(plain)


def test_a_shared_map_of_a_multi_frame_object_serves_all_frames(slice_of, archive_of):
    from tests.archive.test_stack_assembly import part_of_a_concatenation

    dataset = part_of_a_concatenation(slice_of, 1, None)
    dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = [map_item(4.0, 1.0)]
    archive = archive_of([dataset])
    (stack,) = archive.assembly.stacks
    volume, _ = load_volume(stack, archive.headers, archive.files.__getitem__, with_maps=True)
    result = RealWorld(unit="mm2/s")(volume)
    assert result.data[:, 0, 0].tolist() == [9.0, 13.0]
