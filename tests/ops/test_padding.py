from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from medpipe.errors import ConfigError
from medpipe.ops.objects import SegmentationObjects
from medpipe.ops.padding import FillPadding, padding_mask
from medpipe.ops.regions import Body, Hot
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Companions, Geometry, Region, Volume
from medpipe.work.case import run_case
from medpipe.work.content import volume_digest
from tests.work.rooms import Room, a_volume, an_order, locked

SHAPE = (5, 24, 26)


def image(padding=(-2000.0, -2000.0), modality="CT"):
    """Return a warm block in air, in a field of padding."""
    data = np.full(SHAPE, -2000.0, np.float32)
    data[:, 2:22, 2:24] = -1000.0
    data[:, 6:18, 6:20] = 40.0
    return Volume(
        data=data, geometry=Geometry(shape=SHAPE, spacing_mm=(2.0, 1.0, 1.0)), modality=modality, padding=padding
    )


def test_padding_gets_the_least_value_that_was_measured():
    result = FillPadding()(image())
    assert result.data.min() == -1000.0
    assert result.padding is None
    inner = result.data[:, 2:22, 2:24]
    np.testing.assert_array_equal(inner, image().data[:, 2:22, 2:24])


def test_padding_gets_the_value_a_recipe_names():
    assert FillPadding(value=-1024.0)(image()).data[0, 0, 0] == -1024.0


def test_without_padding_nothing_changes():
    np.testing.assert_array_equal(FillPadding()(image(None)).data, image().data)


def test_padding_may_be_a_range_that_differs_from_slice_to_slice():
    pairs = ((-2000.0, -2000.0), (None, None), (-2000.0, -900.0), (30.0, 50.0), (None, None))
    mask = padding_mask(image(tuple(value for pair in pairs for value in pair)))
    air, warm = 20 * 22 - 12 * 14, 12 * 14
    outside = 24 * 26 - 20 * 22
    assert mask.sum(axis=(1, 2)).tolist() == [outside, 0, outside + air, warm, 0]


@pytest.mark.parametrize("op", [Body(opening_mm=0.0), Hot()])
def test_a_region_leaves_padding_out_where_it_is_told_to(op):
    # padding that is brighter than anything, as unsigned files have it
    given = image((3000.0, 3000.0), "CT" if isinstance(op, Body) else "PT")
    data = np.where(given.data == -2000.0, np.float32(3000.0), given.data)
    given = given.with_data(data)
    (fooled,) = op(given, Companions())
    (told,) = type(op)(**{**({"opening_mm": 0.0} if isinstance(op, Body) else {}), "padding": "exclude"})(
        given, Companions()
    )
    assert fooled.mask[:, 0].any()
    assert np.array_equal(told.mask, data == 40.0)


def test_a_drawn_region_leaves_padding_out_where_it_is_told_to():
    given = image()
    drawn = Companions(regions=(Region(mask=np.ones(SHAPE, bool), name="roi_1"),))
    assert SegmentationObjects()(given, drawn)[0].mask.all()
    (told,) = SegmentationObjects(padding="exclude")(given, drawn)
    assert np.array_equal(told.mask, given.data != -2000.0)


def test_an_image_of_padding_alone_has_no_region():
    given = image((-5000.0, 5000.0))
    assert Body(padding="exclude")(given, Companions()) == ()


@pytest.mark.parametrize("op", [FillPadding(), Body(padding="exclude"), Hot(padding="exclude")])
def test_memory_covers_the_masks(op):
    big = np.tile(image().data, (4, 4, 4))
    given = Volume(data=big, geometry=Geometry(shape=big.shape, spacing_mm=(2.0, 1.0, 1.0)), padding=(-2000.0, -2000.0))
    arguments = (given,) if isinstance(op, FillPadding) else (given, Companions())
    op(*arguments)
    tracemalloc.start()
    op(*arguments)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= op.memory(given.geometry) + 2 * big.size + 200_000


def test_filling_comes_first():
    tables = {"name": "x", "route": [{"name": "a", "image": [{"op": "median"}, {"op": "fill_padding"}]}]}
    with pytest.raises(ConfigError, match=r"route.0.image.1: fill_padding"):
        parse_recipe(tables)


def test_padding_enters_the_keys_of_who_looks_at_it_and_of_nobody_else():
    plain = a_volume()
    padded = plain.with_data(plain.data, padding=(5.0, 7.0))
    looking = locked(('op = "body", opening_mm = 0.0', 'op = "body", opening_mm = 0.0, padding = "exclude"'))

    def digest_of(volume, lock):
        return run_case(an_order(), Room(lock, volume=volume), lambda *_: None).case.content_digest

    assert digest_of(plain, locked()) == digest_of(padded, locked()) == volume_digest(plain)
    assert digest_of(plain, looking) == volume_digest(plain)
    assert digest_of(padded, looking) != volume_digest(plain)
