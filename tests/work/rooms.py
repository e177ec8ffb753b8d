"""A room in memory: what a case needs from around it, without files and without a lake."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medpipe.errors import Rejected
from medpipe.recipe.lock import ModelPin, lock_recipe
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Column, Companions, Geometry, Region, Volume
from medpipe.work.room import CaseOrder, Reading

TEXT = """
name = "mine"

[[route]]
name = "mr"
image = [ { op = "gaussian", sigma_mm = 1.0 } ]
regions = [ { op = "body", opening_mm = 0.0 }, { op = "segmentation_objects", map = { gtv = "(?i)gtv" } } ]
features = [
    { name = "radiomics", op = "ibsi", families = ["statistics"] },
    { name = "lbp", op = "lbp", image = "final" },
]
models = [ "nodule" ]
"""
MODEL = "ab" * 32


def locked(*changes, model=MODEL):
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return lock_recipe(parse_recipe(tomllib.loads(text)), lambda name: ModelPin(name=name, digest=model))


def a_volume(seed=1):
    """Return a bright ball in noise."""
    shape = (8, 24, 24)
    z, y, x = np.indices(shape)
    ball = (z - 4) ** 2 * 4 + (y - 12) ** 2 + (x - 12) ** 2 < 64
    noise = np.random.default_rng(seed).normal(100, 10, shape)
    data = (noise + 400 * ball).astype(np.float32)
    return Volume(data=data, geometry=Geometry(shape=shape, spacing_mm=(2.0, 1.0, 1.0)), modality="MR")


def a_companion(volume):
    mask = np.zeros(volume.data.shape, bool)
    mask[3:6, 8:16, 8:16] = True
    region = Region(mask=mask, name="roi_1", label=1, source="seg")
    return Companions(regions=(region,), original_names={"roi_1": "GTV of a patient"})


@dataclass(frozen=True)
class MeanScorer:
    """Gives the mean of a region for every row it gets."""

    digest: str
    name: ClassVar[str] = "nodule"
    inputs: ClassVar[tuple] = ()

    def __call__(self, rows):
        return [
            {
                "region": row["region"],
                "label": row["label"],
                "model": self.name,
                "model_digest": self.digest,
                "target": "mean",
                "class": None,
                "value": row["values"]["stat_mean"],
                "lower": float("nan"),
                "upper": None,
                "status": "ok",
            }
            for row in rows
            if row["extraction"] == "radiomics"
        ]


class Room:
    """Counts what a case asks for."""

    device = "cpu"
    device_bytes = None

    def __init__(self, lock=None, *, volume=None, companions=None, refuse=None, quantization=None, images=None):
        self.lock = lock or locked()
        self.asked = Counter()
        self.stored = {}
        self.images = images or {}
        self._volume = a_volume() if volume is None else volume
        self._companions = a_companion(self._volume) if companions is None else companions
        self._refuse = refuse or {}
        self._quantization = quantization

    def read(self):
        self._note("read")
        return Reading(volume=self._volume, quantization=self._quantization)

    def companions(self, volume):
        self._note("companions")
        return self._companions

    def store(self, key, reading, final, content_digest):
        self._note("store")
        self.stored[key] = final
        return {"store": f"objects/{key}", "content_digest": content_digest}

    def image(self, name):
        self._note(f"image {name}")
        found = self.images[name]
        if isinstance(found, str):
            raise Rejected(found)
        return found

    def store_image(self, key, volume, attrs):
        self.stored[key] = (volume, attrs)
        return f"objects/{key}"

    def store_files(self, key, files):
        self.stored[key] = dict(files)
        return f"objects/{key}"

    def scorer(self, digest):
        self._note("scorer")
        return MeanScorer(digest)

    def _note(self, what):
        self.asked[what] += 1
        if what in self._refuse:
            raise Rejected(self._refuse[what])


def an_order(*, committed=(), content=None):
    return CaseOrder(
        key="ca" * 32,
        volume_key="v1",
        route="mr",
        source_version="1",
        numeric_class="cpu-x86-64-v3",
        projected_bytes=1,
        run="run-1",
        content=content,
        committed={product.key: product for product in committed},
    )


class Measuring:
    """An extractor that answers what it is told."""

    name = "measuring"
    version = 1
    discretisation = ""
    compliance = "none"
    columns = (Column(name="a", family="test"), Column(name="b", family="test"))

    def __init__(self, **values):
        self.values = values

    def memory(self, geometry):
        return 0

    def __call__(self, volume, region):
        return self.values
