from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medpipe.archive.voxels import load_volume
from medpipe.errors import Rejected
from medpipe.ops.real_world import RealWorld
from medpipe.types import RealWorldMap
from medpipe.work.content import volume_digest

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
        map_item(slope=None, intercept=None, RealWorldValueLUTData=[1.0] * 4096),
        map_item(slope=None),
    ],
)
def test_what_is_no_one_linear_map_for_every_value_is_refused(stack_of, archive_of, item):
    _, volume = mapped(stack_of, archive_of, [[item]] * 3)
    with pytest.raises(Rejected, match="E_REAL_WORLD"):
        RealWorld()(volume)


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
