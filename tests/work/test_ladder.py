"""A case on a device with little memory: in blocks to the bytes of the whole, then on the CPU if it may."""

from __future__ import annotations

import tomllib
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from medpipe.lake.scratch import Spool
from medpipe.ops.registry import make
from medpipe.plan.device import device_need
from medpipe.plan.fallback import Fallback
from medpipe.recipe.lock import lock_recipe
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Geometry, Volume
from medpipe.values import SuvScales
from medpipe.work.case import run_case
from medpipe.work.places import InBlocks, Whole
from medpipe.xp import DeviceMemoryError, to_numpy, with_device_memory
from tests.device.standing import needs_compiler, stand_in
from tests.work.rooms import Room, an_order
from tests.work.test_images import a_pet, an_image

# a test that was skipped on its way would hold arrays of the device, which others here count
pytestmark = needs_compiler

SHAPE = (20, 12, 11)
IMAGE_BYTES = 4 * 20 * 12 * 11
MEDIAN = {"op": "median"}
GAUSSIAN = {"op": "gaussian", "sigma_mm": 1.1}
CLIP = {"op": "clip", "low": -300.0, "high": 250.5}
ZSCORE = {"op": "zscore", "mask": "nonzero"}
RESAMPLE = {"op": "resample", "spacing_mm": [1.5, 1.5, 1.5]}

RESAMPLED = '{ op = "resample", spacing_mm = [2.0, 1.5, 1.5] }'
RECIPE = """
name = "r"

[[route]]
name = "mr"
image = [ { op = "median" }, { op = "gaussian", sigma_mm = 1.0 }, RESAMPLED ]
regions = [ { op = "threshold", low = 300.0 } ]
features = [
    { name = "before", op = "ibsi", families = ["statistics"] },
    { name = "after", op = "ibsi", image = "final", families = ["statistics"] },
]
views = [ { name = "mip", op = "projection", image = "final" } ]
keep = [ "original", "final" ]
""".replace("RESAMPLED", RESAMPLED)

CLASS, CPU = "cuda-cc00", "cpu-x86-64-v3"
FALLBACK = Fallback(key="fb" * 32, numeric_class=CPU)


@pytest.fixture(scope="module", autouse=True)
def cuda():
    """Let CuPy be the stand-in."""
    with stand_in():
        yield


@contextmanager
def device(*, limit=None):
    """Let the device have so many bytes, and its counters be fresh; all of it if not given."""
    import cupy

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUPY_STANDIN_LIMIT", str(limit or 0))
        cupy.standin.reset()
        yield cupy


def ops_of(chain):
    return [make("image", op, "here") for op in chain]


def volume_of(**changes):
    data = np.random.default_rng(2).normal(0, 400, SHAPE).astype(np.float32)
    return Volume(data=data, geometry=Geometry(shape=SHAPE, spacing_mm=(2.5, 1.0, 0.8)), **changes)


def worked(place, ops, volume):
    done = place.worked(ops, place.held(volume))
    return place.lent(done).data.get().tobytes(), replace(done, data=None)


@pytest.mark.parametrize("images", [1.7, 3, 6], ids=["a plane or two", "some planes", "half"])
@pytest.mark.parametrize("chain", [[MEDIAN], [GAUSSIAN, CLIP, MEDIAN, CLIP], [CLIP]], ids=len)
def test_a_chain_in_blocks_is_the_chain_of_the_whole_bit_for_bit(chain, images):
    ops, volume = ops_of(chain), volume_of()
    with device() as cupy:
        whole = worked(Whole("cuda"), ops, volume)
        needs = cupy.standin.counts().peak
    with device(limit=int(images * IMAGE_BYTES)) as cupy:
        assert worked(InBlocks("cuda"), ops, volume) == whole
        assert cupy.standin.counts().peak <= images * IMAGE_BYTES
    assert needs > 1.7 * IMAGE_BYTES


def test_ops_without_a_halo_have_the_whole_and_leave_no_more_than_they_were_given():
    ops, volume = ops_of([MEDIAN, RESAMPLE, CLIP]), volume_of()
    seen = []
    with device() as cupy:
        whole = worked(Whole("cuda"), ops, volume)
        place = InBlocks("cuda")
        done = place.worked(
            ops, volume, seen=lambda op, given: seen.append((op.name, given.data, given.geometry.shape))
        )
        assert isinstance(done.data, np.ndarray)
        assert cupy.standin.live() == 0
    assert (done.data.tobytes(), replace(done, data=None)) == whole
    assert seen[:2] == [("median", None, SHAPE), ("resample", None, SHAPE)]


def test_planes_in_blocks_have_their_own_factors_of_uptake():
    factors = tuple(0.1 + 0.01 * place for place in range(20))
    volume = volume_of(unit="BQML", modality="PT", suv=SuvScales(by_kind={"bw": factors}))
    ops = ops_of([{"op": "suv"}, CLIP])
    with device():
        assert worked(InBlocks("cuda"), ops, volume) == worked(Whole("cuda"), ops, volume)


def test_a_spooled_volume_goes_in_thinner_slabs(tmp_path):
    ops, volume = ops_of([MEDIAN, GAUSSIAN]), volume_of()
    with (
        device(limit=3 * IMAGE_BYTES),
        Spool(tmp_path / "in", SHAPE) as given,
        Spool(tmp_path / "whole", SHAPE) as whole,
        Spool(tmp_path / "slabs", SHAPE) as slabs,
    ):
        given[0 : SHAPE[0]] = volume.data
        spooled = volume.with_data(given)
        with pytest.raises(DeviceMemoryError):
            with_device_memory(lambda: Whole("cuda").spooled(ops, spooled, whole))
        InBlocks("cuda").spooled(ops, spooled, slabs)
        Whole("cpu").spooled(ops, spooled, whole)
        np.testing.assert_allclose(slabs[:], whole[:], atol=0.1)


def test_what_does_not_fit_plane_by_plane_is_told_and_nothing_is_held():
    with device(limit=2000) as cupy:
        with pytest.raises(DeviceMemoryError):
            InBlocks("cuda").worked(ops_of([MEDIAN]), volume_of())
        assert cupy.standin.live() == 0


# whole cases ----------------------------------------------------------------------------------


def locked():
    return lock_recipe(parse_recipe(tomllib.loads(RECIPE)), lambda name: None)


class Lake(Room):
    """Keeps the bytes of what is stored, and no array."""

    def store(self, key, reading, final, content_digest):
        row = super().store(key, reading, final, content_digest)
        self.stored[key] = (to_numpy(final.data).tobytes(), final.geometry)
        return row

    def store_image(self, key, volume, attrs):
        return super().store_image(key, volume.data.tobytes(), attrs)


def run_on(name, *, limit=None, room=None, share=None, **order):
    """Run a case; return its result, what was stored, and how much of the device was in use at most."""
    room = room or Lake(locked(), volume=an_image())
    room.device, room.device_bytes = name, share
    given = replace(an_order(), **{"numeric_class": CLASS, **order})
    with device(limit=limit) as cupy:
        result = run_case(given, room, lambda stage, subject: None)
        assert cupy.standin.live() == 0
        return result, room.stored, cupy.standin.counts()


def test_a_case_in_blocks_has_the_products_of_the_whole():
    whole, stored, counts = run_on("cuda")
    assert (whole.case.status, whole.case.device) == ("done", "whole")
    # begun in blocks, since by projection the whole has no room; begun whole, and gone on in blocks with as little
    least = None
    for how in ({"share": 10, "device_bytes": 11}, {}):
        blocks, same, fewer = run_on("cuda", limit=least, **how)
        assert (blocks.case.status, blocks.case.device) == ("done", "blocks")
        assert blocks.products == whole.products
        assert blocks.case.result_digest == whole.case.result_digest
        assert same == stored
        # there is no less than what measuring the volume takes, which nothing parts
        least = fewer.peak
        assert least < 0.8 * counts.peak


def test_what_a_chain_has_of_the_device_is_hardly_less_than_what_was_projected():
    text = 'name = "r"\n[[route]]\nname = "mr"\nkeep = ["original", "final"]\nimage = IMAGE'
    ops = '[ { op = "median" }, { op = "gaussian", sigma_mm = 1.0 }, { op = "clip", low = 0, high = 300 } ]'
    lock = lock_recipe(parse_recipe(tomllib.loads(text.replace("IMAGE", ops))), lambda name: None)
    shape = (24, 40, 40)
    data = np.random.default_rng(1).normal(0, 100, shape).astype(np.float32)
    volume = Volume(data=data, geometry=Geometry(shape=shape, spacing_mm=(2.0, 1.0, 1.0)), modality="MR")
    row = {"shape": shape, "axes": "zyx", "spacing_mm": (2.0, 1.0, 1.0), "affine_lps": None, "kind": "volume"}
    need = device_need(lock.recipe.routes[0], row)
    _, _, counts = run_on("cuda", room=Lake(lock, volume=volume))
    # an op's planes are gone when its result is checked, whose marks the projection counts beside them
    assert 0.9 * need.whole < counts.peak <= need.whole
    # with some places of the pool's rounding more, the least is enough
    result, _, _ = run_on("cuda", room=Lake(lock, volume=volume), limit=int(1.5 * need.least))
    assert (result.case.status, result.case.device) == ("done", "blocks")


def test_a_case_that_fits_by_projection_begins_whole():
    result, _, _ = run_on("cuda", share=11, device_bytes=11)
    assert result.case.device == "whole"


def test_a_case_without_the_permit_fails_with_its_code_where_it_is():
    result, _, _ = run_on("cuda", limit=10_000)
    case = result.case
    assert (case.status, case.code, case.device, case.numeric_class) == ("failed", "E_GPU_MEMORY", "blocks", CLASS)
    assert (case.case_key, case.stage, case.products) == ("ca" * 32, "image", ())


def test_a_case_with_the_permit_has_the_products_of_the_cpu_under_a_key_of_its_own():
    on_cpu, stored, _ = run_on("cpu", numeric_class=CPU)
    asked = Lake(locked(), volume=an_image())
    result, same, _ = run_on("cuda", limit=10_000, fallback=FALLBACK, room=asked)
    case = result.case
    assert (case.status, case.code, case.device, case.numeric_class) == ("done", "W_ON_CPU", "left", CPU)
    assert (case.case_key, case.products) == (FALLBACK.key, on_cpu.case.products)
    assert result.products == on_cpu.products
    assert same == stored
    assert asked.asked["read"] == 1


def test_what_the_device_made_before_it_was_full_is_kept_and_is_none_of_the_cpu():
    # of an op that has to have the whole, and takes more of it than measuring does
    text = RECIPE.replace('"original", "final"', '"original"').replace(RESAMPLED, '{ op = "clahe", tiles = [1, 2, 2] }')
    lock = lock_recipe(parse_recipe(tomllib.loads(text)), lambda name: None)
    rooms = [Room(lock, volume=an_image()) for _ in range(3)]
    whole, _, counts = run_on("cuda", room=rooms[0])
    on_cpu, _, _ = run_on("cpu", numeric_class=CPU, room=rooms[1])
    result, _, _ = run_on("cuda", limit=counts.peak // 2, fallback=FALLBACK, room=rooms[2])
    assert (result.case.device, result.case.products) == ("left", on_cpu.case.products)
    # the volume is of no class; regions and features were there when the filtered image did not fit
    made = [product.kind for product in result.products]
    assert made == ["volume", "regions", "features", "regions", "features", "features", "views"]
    assert result.products == (*whole.products[:3], *on_cpu.products[1:])
    assert rooms[2].asked["store"] == 1


def test_what_the_cpu_refuses_stands_under_the_key_of_the_device():
    refusing = Lake(locked(), volume=an_image(), refuse={"store": "E_NONFINITE"})
    result, _, _ = run_on("cuda", limit=10_000, fallback=FALLBACK, room=refusing)
    case = result.case
    assert (case.status, case.code, case.device) == ("rejected", "E_NONFINITE", "left")
    assert (case.case_key, case.numeric_class) == ("ca" * 32, CPU)


PAIRS = RECIPE.replace("views = ", "companions = [ COMPANION ]\nviews = ").replace(
    "COMPANION", '{ name = "pet", where = { modality = "PT" }, image = [ { op = "suv" } ], fuse = true }'
)


def test_companion_images_in_blocks_lie_as_those_of_the_whole():
    lock = lock_recipe(parse_recipe(tomllib.loads(PAIRS)), lambda name: None)

    def a_room():
        return Lake(lock, volume=an_image(), images={"pet": a_pet()})

    whole, stored, counts = run_on("cuda", room=a_room())
    blocks, same, fewer = run_on("cuda", room=a_room(), limit=int(0.9 * counts.peak))
    assert (whole.case.device, blocks.case.device) == ("whole", "blocks")
    assert any(product.kind == "registrations" and not product.code for product in whole.products)
    assert (blocks.products, same) == (whole.products, stored)
    assert fewer.peak < counts.peak
