"""Networks within one case: what they made is told of wherever it goes."""

from __future__ import annotations

import tomllib
from collections import Counter

import pytest

from medpipe.contracts.networks import NetworkPin
from medpipe.recipe.lock import lock_recipe, read_lock
from medpipe.recipe.recipe import parse_recipe
from medpipe.work.networks import with_networks
from tests.models.networks import card, convolution, encoder, opens, smoothing
from tests.work.rooms import Room
from tests.work.test_images import an_image, run

TEXT = """
name = "mine"

[[route]]
name = "mr"
image = [ { op = "learned", model = "clean" } ]
regions = [ { op = "otsu", after = [ { op = "learned", model = "clean" } ], name = "seen" }, { op = "whole" } ]
features = [
    { name = "first", op = "ibsi", families = ["statistics"] },
    { name = "deep", op = "deep", model = "code", image = "final" },
]
views = [
    { name = "small", op = "thumbnail", size = 32 },
    { name = "made", op = "thumbnail", size = 32, image = "final" },
    { name = "beside", op = "thumbnail", size = 32, image = "ct" },
]

[[route.companions]]
name = "ct"
where = { modality = "CT" }
image = [ { op = "learned", model = "clean" } ]
fuse = true
"""
DIGESTS = {"clean": "ab" * 32, "code": "cd" * 32}


def bound(networks):
    """Return the lock of the recipe with networks, by name, bound to its ops, and how often each was opened."""
    opened = Counter()

    def pin(reference):
        kind, numbers = ("encoder", 4) if reference == "code" else ("image", 0)
        return NetworkPin(name=reference, digest=DIGESTS[reference], kind=kind, numbers=numbers, memory_mb=64)

    def opener(digest):
        name = next(name for name, known in DIGESTS.items() if known == digest)

        def network():
            opened[name] += 1
            return networks[name]()

        return network

    lock = lock_recipe(parse_recipe(tomllib.loads(TEXT)), lambda _: None, resolve_network=pin)
    return with_networks(read_lock(lock.to_toml()), opener), opened


@pytest.fixture(scope="module")
def told():
    """Return a case's room and result, and how often its networks were opened."""
    lock, opened = bound({"clean": opens(smoothing(), card()), "code": opens(encoder(), card("encoder"))})
    given = Room(lock, volume=an_image(), images={"ct": an_image(modality="CT")})
    return given, run(given), opened


def codes(result, kind):
    return [record.code for record in result.products if record.kind == kind]


def test_products_made_of_what_a_network_made_say_so_and_others_do_not(told):
    given, result, _ = told
    assert result.case.status == "done"
    assert codes(result, "registrations") == ["W_SYNTHETIC"]
    assert codes(result, "views") == ["", "W_SYNTHETIC", "W_SYNTHETIC"]
    # the route keeps the original alone
    assert codes(result, "volume") == [""]
    (key,) = [record.key for record in result.products if record.kind == "registrations"]
    assert given.stored[key][0].synthetic


def test_rows_say_so_by_image_and_by_region(told):
    _, result, _ = told
    rows = [row for record in result.products if record.kind == "features" for row in record.rows]
    found = {(row["region"], "deep_000" in row["values"]): (row["status"], row["code"]) for row in rows}
    synthetic, plain = ("flagged", "W_SYNTHETIC"), ("ok", None)
    assert found == {
        ("seen", False): synthetic,
        ("seen", True): synthetic,
        ("whole", False): plain,
        ("whole", True): synthetic,
    }


def test_a_network_that_fails_is_told_and_costs_only_what_needs_it():
    # infinite for what lies beside the brightest
    failing = convolution([[[3e38]]])
    lock, _ = bound({"clean": opens(failing, card(width=1e-3)), "code": opens(encoder(), card("encoder"))})
    result = run(Room(lock, volume=an_image(), images={"ct": an_image(modality="CT")}))
    assert result.case.status == "done"
    assert codes(result, "views") == ["", "E_NETWORK", "E_NETWORK"]
    assert codes(result, "registrations") == ["E_NETWORK"]
    assert set(codes(result, "regions")) == {"", "E_NETWORK"}
    measured = [(row["region"], row["status"]) for one in result.products if one.kind == "features" for row in one.rows]
    assert measured == [("whole", "ok")]


def test_only_networks_that_are_asked_are_opened():
    lock, opened = bound({"clean": opens(smoothing(), card()), "code": opens(encoder(), card("encoder"))})
    assert not opened
    assert lock.recipe.routes[0].image[0].halo(an_image().geometry) is None
    assert not opened
