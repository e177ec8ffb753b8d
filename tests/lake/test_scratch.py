from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.keys import array_digest, blocks_digest
from medpipe.lake.lake import Lake
from medpipe.lake.scratch import Scratch, Spool
from medpipe.lake.volumes import put_volume
from medpipe.types import Geometry, Volume

SHAPE = (7, 5, 4)


def voxels():
    return np.random.default_rng(5).normal(0, 300, SHAPE).astype(np.float32)


def filled(spool, values):
    for place, plane in enumerate(values):
        spool[place] = plane
    return spool


def slices(size):
    return st.tuples(st.integers(0, size), st.integers(0, size)).filter(lambda ends: ends[0] < ends[1])


@given(planes=slices(SHAPE[0]), rows=slices(SHAPE[1]))
def test_a_block_is_what_was_written(tmp_path_factory, planes, rows):
    values = voxels()
    with Spool(tmp_path_factory.mktemp("spool") / "one", SHAPE) as spool:
        filled(spool, values)
        region = slice(*planes), slice(*rows)
        np.testing.assert_array_equal(spool[region], values[region])
        np.testing.assert_array_equal(spool[region[0]], values[region[0]])


def test_planes_may_come_in_any_order_and_many_at_a_time(tmp_path):
    values = voxels()
    with Spool(tmp_path / "one", SHAPE) as spool:
        spool[4:7] = values[4:7]
        for place in (3, 0, 2, 1):
            spool[place] = values[place]
        np.testing.assert_array_equal(spool[:], values)


@pytest.mark.parametrize("planes", [1, 3, 100])
def test_its_digest_by_slabs_is_that_of_the_array(tmp_path, planes):
    values = voxels()
    with Spool(tmp_path / "one", SHAPE) as spool:
        filled(spool, values)
        assert blocks_digest(spool.shape, spool.dtype, spool.slabs(planes)) == array_digest(values)


@pytest.mark.parametrize("whole_numbers", [True, False])
def test_a_spool_and_an_array_are_stored_in_the_same_bytes(lake: Lake, whole_numbers):
    values = np.rint(voxels()) if whole_numbers else voxels()
    volume = Volume(data=values, geometry=Geometry(shape=SHAPE, spacing_mm=(2.0, 1.0, 1.0)))
    row = put_volume(lake, "ab" * 32, volume)
    with Scratch(lake) as scratch:
        spooled = volume.with_data(filled(scratch.spool(SHAPE), values))
        # the same key: other bytes would be an integrity alarm
        assert put_volume(lake, "ab" * 32, spooled) == row
    assert row["dtype"] == ("int16" if whole_numbers else "float32")


def test_no_spool_outlives_its_scratch(lake: Lake):
    with Scratch(lake) as scratch:
        filled(scratch.spool(SHAPE), voxels())
        scratch.spool(SHAPE)
        assert len(list(lake.store.list("tmp"))) == 2
    assert list(lake.store.list("tmp")) == []
