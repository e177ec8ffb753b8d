"""A recipe, index rows and a history to plan with."""

from __future__ import annotations

import tomllib

from medpipe.contracts.records import CaseRecord
from medpipe.recipe.lock import ModelPin, lock_recipe
from medpipe.recipe.recipe import parse_recipe

TEXT = """
name = "mine"

[[route]]
name = "ct"
where = { modality = "CT", kind = "volume", min_slices = 3 }
image = [ { op = "gaussian", sigma_mm = 1.0 } ]
regions = [ { op = "body" }, { op = "segmentation_objects" } ]
features = [
    { name = "radiomics", op = "ibsi", bins = 32 },
    { name = "lbp", op = "lbp", image = "final" },
]
models = [ "nodule" ]

[[route]]
name = "thick"
where = { modality = "CT", max_slices = 50 }

[[route]]
name = "pet"
where = { modality = "PT", min_slices = 8 }
"""


def pin(reference):
    return ModelPin(name=reference, digest="ab" * 32)


def locked(*changes, resolve=pin):
    """Return the locked recipe with parts of its text exchanged."""
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return lock_recipe(parse_recipe(tomllib.loads(text)), resolve)


def volume(key="v1", *, shape=(20, 64, 64), **changes):
    """Return a row of the index table ``volumes``."""
    row = {
        "volume_key": key,
        "series_key": f"s-{key}",
        "kind": "volume",
        "modality": "CT",
        "body_part": None,
        "shape": list(shape),
        "axes": "zyx",
        "spacing_mm": [2.0, 1.0, 1.0],
        "affine_lps": None,
        "verdict": "regular",
    }
    return {**row, **changes}


class Known:
    """A history: cases that ended (key to code) and the products they stand on, what is committed, contents read."""

    def __init__(self, *, cases=None, products=(), contents=None, stands_on=None, of_volume=None, record=None):
        self.cases, self.products, self.contents = cases or {}, set(products), contents or {}
        self.stands_on, self.of_volume, self.record = stands_on or {}, of_volume or {}, record or {}

    def case(self, case_key):
        if case_key not in self.cases:
            return None
        code = self.cases[case_key]
        status = "rejected" if code else "done"
        products = self.stands_on.get(case_key, ())
        return CaseRecord(
            case_key=case_key,
            volume_key="",
            route="",
            status=status,
            stage="done",
            code=code,
            products=products,
            **self.record,
        )

    def has_product(self, key):
        return key in self.products

    def products_of(self, volume_key):
        return frozenset(self.of_volume.get(volume_key, ()))

    def content_of(self, volume_key, source_version):
        return self.contents.get((volume_key, source_version))
