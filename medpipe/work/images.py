"""The companion images of a case: each read, worked on and brought onto the case's grid at most once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from medpipe.contracts.images import Alignment
from medpipe.contracts.protocols import UsesPadding
from medpipe.errors import Rejected
from medpipe.kernels.affine import affine_sample
from medpipe.kernels.placement import voxel_to_voxel
from medpipe.keys import digest, finite_or_none
from medpipe.ops.align.frame import matrix_of
from medpipe.plan.cases import PASSING
from medpipe.recipe.companion import CompanionImage
from medpipe.types import Array, Volume
from medpipe.work.content import volume_digest
from medpipe.work.fused import apply_chain
from medpipe.xp import to_device, to_numpy

Made = TypeVar("Made")

_MEASURES = ("overlap", "rotation_deg", "translation_mm", "metric_before", "metric_after", "inverse_mm")


class ImageRoom(Protocol):
    """What companion images need from around a case."""

    device: str

    def image(self, name: str) -> Volume:
        """Read a companion image; raises ``Rejected``, also where there is none."""

    def store_image(self, key: str, volume: Volume, attrs: dict[str, Any]) -> str:
        """Publish an image under a product key; return its path in the lake."""


class CompanionImages:
    """Companion images of a case.

    The case's own image is given as it was read, on the host: what is asked of its voxels is asked there.

    Parameters
    ----------
    companions : tuple of CompanionImage
    room : ImageRoom
    step : callable
        Told of each step by name.
    """

    def __init__(self, companions: tuple[CompanionImage, ...], room: ImageRoom, step: Callable[[str], None]) -> None:
        self._companions = companions
        self._room = room
        self._step = step
        self._read: dict[int, Volume | Rejected] = {}
        self._worked: dict[int, Volume | Rejected] = {}
        self._alignments: dict[int, Alignment | Rejected] = {}
        self._aligned: dict[int, Volume] = {}

    def digests(self, original: Volume) -> tuple[str, ...]:
        """Return the digest of what each holds, and of whether it has one frame of reference with the image."""
        return tuple(self._digest(place, original) for place in range(len(self._companions)))

    def row(self, place: int, original: Volume, key: str) -> dict[str, Any]:
        """Return how a companion image lies to the image, as JSON values; both are stored where they are fused."""
        companion = self._companions[place]
        nothing = dict.fromkeys(("method", "matrix_lps", *_MEASURES, "store"))
        try:
            found = self._alignment(place, original)
        except Rejected as rejected:
            return {"companion": companion.name, **nothing, "status": "refused", "code": rejected.code}
        measures = {name: getattr(found, name) for name in _MEASURES}
        return {
            "companion": companion.name,
            **nothing,
            "method": found.method,
            "status": "refused" if found.code else "ok",
            "code": found.code or None,
            "matrix_lps": None if found.matrix is None else list(found.matrix),
            **{name: None if value is None else finite_or_none(value) for name, value in measures.items()},
            "store": self._fused(place, original, key) if companion.fuse and not found.code else None,
        }

    def aligned(self, name: str, original: Volume) -> Volume:
        """Return a companion image on the grid of the image, NaN where it shows nothing.

        Raises
        ------
        Rejected
            Why it cannot be used.
        """
        place = next(place for place, one in enumerate(self._companions) if one.name == name)
        return self._on_grid(place, original)

    def _image(self, place: int) -> Volume:
        """Return a companion image as it was read, until its ops were worked."""

        def read() -> Volume:
            self._step("companions")
            return self._room.image(self._companions[place].name)

        return _once(self._read, place, read)

    def _digest(self, place: int, original: Volume) -> str:
        companion = self._companions[place]
        try:
            image = self._image(place)
        except Rejected as rejected:
            if rejected.code in PASSING:
                raise
            return digest({"code": rejected.code})
        frames = [one.geometry.frame_of_reference_key for one in (original, image)]
        is_padded = any(isinstance(op, UsesPadding) and op.uses_padding for op in companion.image)
        asks = any(getattr(op, "uses_quantity", False) for op in companion.image)
        return digest(
            {
                "image": volume_digest(
                    image,
                    padding=image.padding if is_padded else None,
                    real_world=image.real_world,
                    display=image.display,
                    quantity=image.quantity if asks else "",
                ),
                "suv": None if companion.suv is None else companion.suv.found(image),
                "frame": "unnamed" if frames == [None, None] else frames[0] == frames[1],
            }
        )

    def _ready(self, place: int) -> Volume:
        """Return a companion image after its ops."""

        def work() -> Volume:
            self._step("registrations")
            volume = self._image(place)
            volume = volume.with_data(to_device(volume.data, device=self._room.device))
            if self._companions[place].image:
                # digests were taken before anything is worked: nobody asks for it as it was read
                del self._read[place]
            return apply_chain(self._companions[place].image, volume)

        return _once(self._worked, place, work)

    def _alignment(self, place: int, original: Volume) -> Alignment:
        def align() -> Alignment:
            ready = self._ready(place)
            self._step("registrations")
            aligner = self._companions[place].align
            if getattr(aligner, "uses_voxels", True):
                ready = ready.with_data(self._on_host(place, ready))
            return aligner(original, ready)

        return _once(self._alignments, place, align)

    def _on_host(self, place: int, ready: Volume) -> Array:
        """Return the voxels of a companion image that is ready: those that were read, where no op worked on them."""
        return to_numpy(ready.data if self._companions[place].image else self._image(place).data)

    def _on_grid(self, place: int, original: Volume) -> Volume:
        if place not in self._aligned:
            found = self._alignment(place, original)
            if found.code or found.matrix is None:
                raise Rejected(found.code or "E_REG_FAILED")
            ready = self._ready(place)
            self._aligned[place] = on_grid(ready, original, np.array(found.matrix).reshape(4, 4))
        return self._aligned[place]

    def _fused(self, place: int, original: Volume, key: str) -> str:
        aligned = self._on_grid(place, original)
        channels = [
            {"name": name, "modality": one.modality, "unit": one.unit}
            for name, one in (("original", original), (self._companions[place].name, aligned))
        ]
        data = np.stack([np.asarray(to_numpy(one.data), dtype=np.float32) for one in (original, aligned)])
        geometry = replace(original.geometry, shape=data.shape, axes="czyx")
        fused = replace(
            original,
            data=data,
            geometry=geometry,
            unit="arbitrary",
            suv=None,
            padding=None,
            synthetic=original.synthetic or aligned.synthetic,
        )
        found = self._alignment(place, original)
        attrs = {"channels": channels, "registration": {"method": found.method, "matrix_lps": list(found.matrix or ())}}
        return self._room.store_image(key, fused, attrs)


def on_grid(image: Volume, original: Volume, matrix: NDArray[np.float64]) -> Volume:
    """Return an image on the grid of another one.

    Parameters
    ----------
    image, original : Volume
        (z, y, x), with even grids in the patient.
    matrix : array of float64 (4, 4)
        LPS mm of `original` to LPS mm of `image`.

    Returns
    -------
    Volume
        Values, unit, modality and quantity of `image`, geometry of `original`; NaN beyond the image.
    """
    places = voxel_to_voxel(matrix_of(original), matrix_of(image), between=matrix)
    data = affine_sample(image.data, matrix=places, shape=original.geometry.spatial_shape)
    return replace(
        original,
        data=data,
        unit=image.unit,
        modality=image.modality,
        quantity=image.quantity,
        synthetic=image.synthetic,
        # these are of an image as it was read
        suv=None,
        padding=None,
        real_world=None,
        display=None,
    )


def _once(held: dict[int, Made | Rejected], place: int, make: Callable[[], Made]) -> Made:
    """Return what is made of a companion image, or raise why there is none; made or refused at most once.

    A refusal that says nothing about the image is not kept: the case is tried again.
    """
    if place not in held:
        try:
            held[place] = make()
        except Rejected as rejected:
            if rejected.code in PASSING:
                raise
            held[place] = rejected.kept()
    found = held[place]
    if isinstance(found, Rejected):
        # what is raised takes hold of the frames it passes: never the one that is kept
        raise found.kept()
    return found
