"""Every registered op on a device, and on the strict stand-in of one, beside the same op on the host."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.types import Geometry
from medpipe.xp import is_cupy, to_device, to_numpy
from tests.device.tolerance import device_tolerance
from tests.ops.test_conformance import EVERY, ball_region, companions, holed, op_of, suited, volume

VOXELWISE = [(family, name) for family, name in EVERY if family != "features"]
SMALL = (7, 18, 20)


def moved(given):
    return given.with_data(to_device(given.data, device="cuda"))


def frame_of(given):
    return given.with_data(given.data[0]) if given.data.ndim == 4 else given


def made(family, op, given, on_host):
    """Return what an op makes of a volume; regions that it is given are those of the host."""
    try:
        if family == "image":
            data = op(given).data
            # what a network was asked comes back from the host
            assert is_cupy(data) == is_cupy(given.data)
            return [to_numpy(data)]
        if family == "regions":
            return [region.mask for region in op(given, companions(frame_of(on_host)))]
        mask = ball_region(frame_of(on_host)).mask
        return [to_numpy(op(to_device(mask, device="cuda") if is_cupy(given.data) else mask, given.geometry))]
    except Rejected as rejection:
        return [np.array([rejection.code])]


def kinds():
    """Yield volumes as they come: whole, with holes, of frames, a slice, nothing but one value, without a spacing."""
    whole = volume("PT", shape=SMALL)
    yield whole
    data = whole.data.copy()
    data[3, 9, 10] = data[0] = np.nan
    yield whole.with_data(data)
    yield holed(volume("CT"))
    yield volume("MR", shape=(2, 5, 12, 14), axes="tzyx")
    yield volume("PT", shape=(1, 20, 22))
    yield whole.with_data(np.full(SMALL, 7.0, np.float32))
    yield whole.with_data(whole.data, geometry=Geometry(shape=SMALL))


@pytest.mark.parametrize(("family", "name"), VOXELWISE, ids=[f"{family}-{name}" for family, name in VOXELWISE])
def test_an_op_makes_of_a_volume_on_the_device_what_it_makes_on_the_host(cuda, family, name):
    op = op_of(family, name)
    reach = device_tolerance(op)
    for kind in kinds():
        given = suited(name, kind)
        expected = made(family, op, given, given)
        result = made(family, op, moved(given), given)
        assert [(one.dtype, one.shape) for one in result] == [(one.dtype, one.shape) for one in expected]
        for one, other in zip(result, expected, strict=True):
            if one.dtype == bool:
                assert (one != other).mean() <= reach
            elif one.dtype.kind == "f":
                # an image of one value has no range: its last digits may differ
                last_digits = 4 * np.finfo(np.float32).eps if reach else 0.0
                span = float(np.nanmax(other) - np.nanmin(other))
                np.testing.assert_allclose(one, other, rtol=last_digits, atol=reach * span)
            else:
                assert one.tolist() == other.tolist()
