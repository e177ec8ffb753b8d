"""The content of what a case reads: digests that keys of products are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from medpipe.bits import Bits
from medpipe.errors import Rejected
from medpipe.keys import array_digest, digest
from medpipe.types import Companions, Region, Structure, Volume
from medpipe.values import Display, RealWorldValues
from medpipe.work.blocks import voxels_digest
from medpipe.work.measure import mask_digest


def volume_digest(
    volume: Volume,
    *,
    quantization: tuple[float, float] | None = None,
    padding: tuple[float | None, ...] | None = None,
    real_world: tuple[tuple[RealWorldValues, ...], ...] | None = None,
    display: tuple[Display, ...] | None = None,
    quantity: str = "",
    stored_reversed: bool = False,
) -> str:
    """Return the content digest of a volume: voxels, geometry, unit, modality and quantization.

    Padding, real-world value maps, how it is to be shown, the quantity that a map is of and the order of slices in the
    file are part of it where an op looks at them. The frame of reference is an identity, not content, and stays out. Two series may hold equal
    values as different integers, and the integers are what is stored.
    """
    geometry = volume.geometry
    facts = {
        "axes": geometry.axes,
        "spacing_mm": geometry.spacing_mm,
        "affine_lps": geometry.affine_lps,
        "slice_positions_mm": geometry.slice_positions_mm,
        "unit": volume.unit,
        "modality": volume.modality,
        "verdict": volume.verdict,
        "quantization": quantization,
        **({} if padding is None else {"padding": padding}),
        **({} if real_world is None else {"real_world": real_world}),
        **({} if display is None else {"display": display}),
        **({"quantity": quantity} if quantity else {}),
        **({"stored_reversed": True} if stored_reversed else {}),
    }
    return digest({"voxels": voxels_digest(volume.data), **facts})


def companions_digest(
    companions: Companions | Rejected, digest_of: Callable[[Bits], str] = mask_digest, *, with_concepts: bool = False
) -> str:
    """Return the digest of what companions hold: names, masks, and what there is to tell of them.

    Parameters
    ----------
    companions : Companions or Rejected
    digest_of : callable
        Gives the digest of a mask.
    with_concepts : bool
        Whether coded concepts, numbers and which object is the newest count as well.
    """
    if isinstance(companions, Rejected):
        return digest({"code": companions.code})
    found = [
        [
            region.name,
            companions.original_names.get(region.name, ""),
            region.label,
            region.source,
            digest_of(region.bits),
            *_told(region, companions.structures.get(region.name)),
        ]
        for region in companions.regions
    ]
    concepts = [[list(one.codes), one.number, one.is_newest] for one in companions.structures.values()]
    # a digest also where there are none: nothing found is not the same as nobody looked
    return digest([found, list(companions.problems), *([concepts] if with_concepts else [])])


def _told(region: Region, structure: Structure | None) -> list[Any]:
    """Return what there is to tell of a companion's region beside its mask; of most nothing."""
    told: list[Any] = [region.code] if region.code else []
    if structure is not None and structure.resampled:
        told.append("resampled")
    if structure is not None and structure.shares is not None:
        shares = structure.shares
        told.append([list(shares.start), shares.maximum, array_digest(shares.values)])
    return told
