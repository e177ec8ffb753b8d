"""An image made by a network: learned denoising, correction, synthesis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from medpipe.contracts.networks import Network, NetworkFacts, NetworkKind, OpensNetwork
from medpipe.contracts.protocols import Halo
from medpipe.errors import Rejected
from medpipe.kernels.tiles import Floats, Window, at_least, tiled
from medpipe.ops.frames import by_frame, result_bytes
from medpipe.ops.networks.asking import Scale, opened, ready, refuse_other, scale_of
from medpipe.ops.normalize.foreground import quantitative, refuse_map
from medpipe.ops.parameters import bound, by_digest, parameter
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.xp import backend_of, to_device, to_numpy


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Gives what a registered network (ONNX) makes of an image, tile by tile; the result is flagged as synthetic.

    Tiles lie on one lattice over the whole image and are put together by Gaussian weights. The network runs
    on the host, on one thread. Voxels that are missing stay so.
    """

    name: ClassVar[str] = "learned"
    version: ClassVar[int] = 1
    uses_quantity: ClassVar[bool] = True
    network_kind: ClassVar[NetworkKind] = "image"

    model: str = parameter(
        doc="Network of the lake: its name, name@latest or name@DIGEST; medpipe register brings one.", keyed=by_digest
    )
    memory_mb: int = parameter(
        0, doc="What loading and asking the network takes; a lock states it.", unit="MiB", low=0, high=1 << 20
    )
    quantitative: bool = quantitative()
    network: OpensNetwork | None = bound()  # noqa: RUF009  # declares a field

    @property
    def network_bytes(self) -> int:
        """What a sandbox holds that has asked the network."""
        return self.memory_mb << 20

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # the lattice is one for all
        """Return None: where tiles lie depends on the whole volume."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of the weights; tiles are the network's."""
        return result_bytes(geometry, beside=4)

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # all is shown to the network
        """Return the network's image, in the unit of the image or in that of its card.

        Raises
        ------
        Rejected
            ``E_NETWORK_INPUT`` for an image the network is not for, ``E_SPACING`` if it asks for a spacing and none is
            known, ``E_CONSTANT`` if it is scaled by its own values and they are one, ``E_NETWORK`` if the network fails
            or gives what its card does not say, ``E_QUANTITATIVE`` for a map of a quantity.
        ConfigError
            If the model is a name that no lock has resolved.
        """
        network = opened(self.network, kind=self.network_kind)
        refuse_map(volume, allowed=self.quantitative)
        refuse_other(volume, network.facts)
        data = by_frame(volume, partial(_made, network=network))
        return volume.with_data(data, synthetic=True, **_changes(network.facts))


def _changes(facts: NetworkFacts) -> dict[str, Any]:
    """Return the fields of a volume that another unit has."""
    if not facts.result_unit:
        return {}
    return {"unit": facts.result_unit, "quantity": "", "padding": None, "real_world": None}


def _made(x: Array, *, network: Network) -> Array:
    facts, given = network.facts, to_numpy(x)
    scale = scale_of(given, facts)
    z, y, width = facts.patch
    whole, place = at_least(given, patch=(z, y, width), fill=None if facts.pad == "edge" else facts.fill)

    def make(window: Window) -> Floats:
        answer = network(ready(whole[window], facts, scale))
        return _in_unit(answer.reshape(z, y, width), facts, scale)

    shape = (whole.shape[0], whole.shape[1], whole.shape[2])
    result = np.ascontiguousarray(tiled(shape, make, patch=(z, y, width), overlap=facts.overlap)[place])
    for plane, before in zip(result, given, strict=True):
        plane[~np.isfinite(before)] = np.nan
    return to_device(result, device=backend_of(x).device)


def _in_unit(answer: Floats, facts: NetworkFacts, scale: Scale) -> Floats:
    center, width = scale
    if facts.result_unit:
        center, width = np.float32(facts.result_center), np.float32(facts.result_width)
    with np.errstate(over="ignore"):
        values = answer * width + center
    if not np.isfinite(values).all():
        raise Rejected("E_NETWORK")
    return values
