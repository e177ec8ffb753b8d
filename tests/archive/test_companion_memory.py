"""What many regions on a large image take, held against what is projected for them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from medpipe.archive.companions import load_companions, references_of
from medpipe.plan.memory import held_bytes, projected_bytes
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Geometry
from tests.archive.test_companion_masks import circle, structures
from tests.plan.planning import volume

ROUTE = parse_recipe(
    {"name": "r", "route": [{"name": "a", "regions": [{"op": "segmentation_objects"}], "keep": ["original"]}]}
).routes[0]


@pytest.mark.slow
def test_sixty_structures_take_no_more_than_is_projected(slice_of, bytes_of, read):
    shape = (24, 512, 512)
    geometry = Geometry(shape=shape, affine_lps=(1, 0, 0, -256, 0, 1, 0, -256, 0, 0, 3, 0, 0, 0, 0, 1))
    sizes = np.linspace(20, 240, 60)
    drawn = {f"s {n}": [circle(size, 3.0 * z, n=40) for z in range(24)] for n, size in enumerate(sizes)}
    data = bytes_of(structures(slice_of, drawn))
    header = read(data)
    tracemalloc.start()
    companions = load_companions([(header, data)], geometry)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    areas = [region.bits.n_voxels / 24 for region in companions.regions]
    assert areas == pytest.approx(20 * sizes**2 * np.sin(2 * np.pi / 40), rel=0.01)
    (reference,) = references_of([], [header])
    row = {**volume(shape=shape), "companion_bytes": reference.reading_bytes}
    # the image is not here, nor the libraries
    projected = projected_bytes(ROUTE, row, beside=()) - held_bytes([ROUTE]) - 4 * np.prod(shape)
    assert 0.2 * projected < peak < projected
