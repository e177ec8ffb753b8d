"""Rows of features of an image and its regions as they might have been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from medpipe.contracts.protocols import Extractor
from medpipe.errors import Rejected
from medpipe.recipe.perturbed import Perturbed
from medpipe.types import Region, Volume
from medpipe.work.measure import unmeasured_row

Row = dict[str, Any]


def perturbed_rows(
    perturbation: Perturbed,
    image: Volume,
    regions: tuple[Region, ...],
    *,
    content: str,
    extractor: Extractor,
    measure: Callable[[Volume, Region], Row],
) -> Iterator[Row]:
    """Yield a row for each time and region; one of which nothing could be drawn has none.

    Parameters
    ----------
    perturbation : Perturbed
    image : Volume
    regions : tuple of Region
    content : str
        Digest of the volume as it was read: what draws come from.
    extractor : Extractor
    measure : callable
        Makes the row of a region of an image.
    """
    drawn = tuple(region for region in regions if not region.code)
    if not drawn:
        return
    for number in range(1, perturbation.times + 1):
        place = {"perturbation": perturbation.name, "number": number}
        try:
            volume, moved = perturbation(image, drawn, content=content, number=number)
        except Rejected as rejected:
            yield from ({**unmeasured_row(extractor, region, rejected.code), **place} for region in drawn)
            continue
        yield from ({**measure(volume, region), **place} for region in moved)
