from __future__ import annotations

import tomllib

import numpy as np
import pytest

from medpipe.errors import ConfigError, Rejected
from medpipe.ops.normalize import Window
from medpipe.ops.resampling import Resample
from medpipe.ops.suv import Suv
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Geometry, Volume
from medpipe.values import SuvScales

KINDS = ("bw", "lbm", "lbmjames128", "lbmjanma", "ibw", "bsa")


def volume(by_kind, shape=(3, 4, 5), unit="BQML"):
    data = np.random.default_rng(7).uniform(0, 30_000, shape).astype(np.float32)
    data.flags.writeable = False
    axes = "zyx" if len(shape) == 3 else "tzyx"
    geometry = Geometry(shape=shape, axes=axes, spacing_mm=(3.0, 2.0, 2.0))
    suv = None if by_kind is None else SuvScales(by_kind=by_kind)
    return Volume(data=data, geometry=geometry, unit=unit, modality="PT", suv=suv)


def exact(data, factors):
    """Return products in float64, rounded once."""
    return (data.astype(np.float64) * np.asarray(factors)[..., None, None]).astype(np.float32)


def test_each_plane_is_multiplied_by_its_own_factor():
    factors = (2.7e-4, 2.9e-4, 3.3e-4)
    given = volume({"bw": factors})
    result = Suv()(given)
    np.testing.assert_array_equal(result.data, exact(given.data, factors))
    assert (result.unit, result.suv, result.modality) == ("g/mL", None, "PT")


def test_planes_of_a_time_series_come_time_by_time():
    factors = tuple(1e-4 * (1 + place) for place in range(6))
    given = volume({"bw": factors}, shape=(2, 3, 4, 5))
    np.testing.assert_array_equal(Suv()(given).data, exact(given.data, np.reshape(factors, (2, 3))))


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_is_chosen_and_names_the_unit(kind):
    given = volume({other: (float(place + 1),) for place, other in enumerate(KINDS)})
    result = Suv(kind=kind)(given)
    np.testing.assert_array_equal(result.data, given.data * np.float32(KINDS.index(kind) + 1))
    assert result.unit == ("cm2/mL" if kind == "bsa" else "g/mL")


def test_what_has_no_factors_is_refused_by_its_code():
    with pytest.raises(Rejected, match="E_SUV_NO_HEIGHT"):
        Suv(kind="lbm")(volume({"bw": (1.0,), "lbm": "E_SUV_NO_HEIGHT"}))
    with pytest.raises(Rejected, match="E_SUV_UNITS"):
        Suv()(volume(None))


def test_a_product_beyond_float32_is_refused():
    with pytest.raises(Rejected, match="E_NONFINITE"):
        Suv()(volume({"bw": (1e37,)}))


def test_factors_of_other_planes_are_never_applied():
    with pytest.raises(Rejected):
        Suv()(volume({"bw": (1.0, 2.0)}))
    given = volume({"bw": (1.0, 2.0, 3.0)})
    for before in (Resample(spacing_mm=(3.1, 0.0, 0.0)), Window(center=10.0, width=5.0), Suv()):
        with pytest.raises(Rejected, match="E_SUV_UNITS"):
            Suv()(before(given))


def test_a_recipe_has_it_first():
    route = {"name": "pet", "image": [{"op": "suv", "kind": "lbm"}, {"op": "gaussian", "sigma_mm": 2.0}]}
    (parsed,) = parse_recipe({"name": "r", "route": [route]}).routes
    assert parsed.suv == Suv(kind="lbm")
    with pytest.raises(ConfigError, match=r"route\.0\.image\.1: suv .* first"):
        parse_recipe({"name": "r", "route": [{**route, "image": route["image"][::-1]}]})
    with pytest.raises(ConfigError, match="suvpeak"):
        parse_recipe(tomllib.loads('name = "r"\n[[route]]\nname = "p"\nimage = [{ op = "suv", kind = "suvpeak" }]'))
