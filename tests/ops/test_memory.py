"""What each op says it needs, held against what it takes; to register is to be tested."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.kernels.ranks import Aggregation
from medpipe.ops.ibsi_columns import Family
from medpipe.ops.registry import make
from medpipe.types import Companions, Region
from tests.bench.radiomics import subject_of
from tests.ops.test_conformance import EVERY, MODALITIES, op_of, suited, volume

SHAPE = (96, 96, 96)
SHAPES = {"watershed": (40, 80, 80), "chan_vese": (40, 80, 80)}
"""Of ops that take microseconds a voxel, a smaller one."""

SLACK_BYTES = 1 << 20
"""Code, small objects and tables that have no part in the projection."""

UNSEEN = frozenset({"n4"})
"""Ops whose library takes memory that Python does not see."""


def whole_of(given):
    return Region(mask=np.ones(given.data.shape, bool), name="whole")


def is_taken(family, op, given, whole):
    """Call an op; return whether it did not refuse."""
    try:
        if family == "image":
            op(given)
        elif family == "regions":
            op(given, Companions(regions=(whole,)))
        elif family == "steps":
            op(whole.mask, given.geometry)
        else:
            op(given, whole)
    except Rejected:
        return False
    return True


def taken_bytes(family, op, given):
    """Return the peak a call allocates, its result included; the region is the whole volume."""
    whole = whole_of(given)
    tracemalloc.start()
    try:
        return tracemalloc.get_traced_memory()[1] if is_taken(family, op, given, whole) else 0
    finally:
        tracemalloc.stop()


def variants(given):
    """Return a volume, the same with padding, and tilted: some ops have nothing to do with others."""
    sheared = given.geometry.matrix.copy()
    sheared[1, 2] = 0.3 * given.geometry.spacing_mm[0]
    geometry = replace(given.geometry, affine_lps=tuple(sheared.reshape(-1).tolist()))
    return given, replace(given, padding=(-1e4, -900.0)), replace(given, geometry=geometry, verdict="tilted")


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), EVERY, ids=lambda part: part)
def test_the_stated_memory_is_what_the_worst_modality_takes(family, name):
    op = op_of(family, name)
    # compiled, loaded, cached; to trace that would take many times as long
    is_taken(family, op, suited(name, volume()), whole_of(volume()))
    shape = SHAPES.get(name, SHAPE)
    volumes = [one for modality in MODALITIES for one in variants(suited(name, volume(modality, shape=shape)))]
    found = [(taken_bytes(family, op, given), op.memory(given.geometry)) for given in volumes]
    assert all(peak <= 1.25 * stated + SLACK_BYTES for peak, stated in found)
    assert name in UNSEEN or any(stated <= 2 * peak + SLACK_BYTES for peak, stated in found)


@pytest.mark.parametrize(
    ("family", "name"), [("image", "gaussian"), ("image", "unsharp"), ("regions", "chan_vese"), ("regions", "canny")]
)
def test_of_a_lone_slice_what_is_held_of_a_plane_counts(family, name):
    op, given = op_of(family, name), volume("MR", shape=(1, 250, 260))
    is_taken(family, op, given, whole_of(given))
    assert taken_bytes(family, op, given) <= 1.05 * op.memory(given.geometry)


@pytest.mark.parametrize(("family", "name"), EVERY, ids=lambda part: part)
def test_a_larger_volume_never_needs_less(family, name):
    op = op_of(family, name)
    needs = [op.memory(volume(shape=(planes, 26, 29)).geometry) for planes in (1, 2, 11, 40, 400)]
    assert needs == sorted(needs)
    assert min(needs) >= 0


@pytest.mark.parametrize("name", ["ibsi", "pyradiomics"])
def test_features_of_a_large_region_take_less_than_three_times_its_box_in_float32(name):
    given, region = subject_of((49, 62, 63))
    parameters = {"families": get_args(Family), "aggregations": get_args(Aggregation)} if name == "ibsi" else {}
    op = make("features", {"op": name, "bins": 32, **parameters}, "here")
    # compiled, loaded, cached
    op(*subject_of((11, 13, 13)))
    tracemalloc.start()
    try:
        op(given, region)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * 4 * region.bits.inside.size
