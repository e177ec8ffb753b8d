"""The session in which a sandbox runs cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from medpipe.archive.companions import load_companions
from medpipe.archive.heads import Heads
from medpipe.archive.memory import KeptMemory
from medpipe.archive.other.cases import source_at
from medpipe.archive.source import FolderSources
from medpipe.archive.stacks import Stack
from medpipe.archive.voxels import load_volume
from medpipe.contracts.networks import Network, OpensNetwork
from medpipe.contracts.protocols import Scorer
from medpipe.errors import ConfigError, Rejected
from medpipe.keys import product_key
from medpipe.lake.files import put_files
from medpipe.lake.lake import Lake
from medpipe.lake.models import model_files
from medpipe.lake.runs import Run
from medpipe.lake.scratch import Scratch, Spool
from medpipe.lake.volumes import put_volume
from medpipe.models.network import NetworkPackage, load_network
from medpipe.models.package import Package, load
from medpipe.plan.memory import SLABS_ABOVE_VOXELS, goes_in_slabs
from medpipe.privacy.secret import load_secret
from medpipe.recipe.lock import LockedRecipe, read_lock
from medpipe.recipe.recipe import Route
from medpipe.types import Companions, Volume
from medpipe.work.case import run_case
from medpipe.work.files import Files
from medpipe.work.networks import with_networks
from medpipe.work.payload import order_of
from medpipe.work.room import Mark, Reading
from medpipe.xp import device_share, limit_device_memory

QUICK_AFTER = 64
"""Files read whole before the quick reader is loaded: half of what it takes is loaded with the kernels."""

_VOXEL_BYTES: Final = 4
_FILE_BYTES: Final = 4 << 20
"""Memory for a file that is kept from one case to the next; larger files come alone."""

Json = dict[str, Any]


def open_session(init: Mapping[str, Any]) -> CaseSession:
    """Open the session that runs the cases of a run.

    Parameters
    ----------
    init : mapping
        ``lake``, ``run``, ``device`` and ``key_file``: the key is read here, from its file,
        and never travels. ``device_bytes``: memory of the device for all ``processes`` of this
        host together, which share it alike; most of what it has if not given.

    Raises
    ------
    StoppedError
        If the device does not answer.
    """
    lake = Lake.open(Path(init["lake"]), secret=load_secret(Path(init["key_file"])))
    share = None
    if init["device"] == "cuda":
        share = device_share(init.get("device_bytes"), processes=init.get("processes", 1))
        limit_device_memory(share)
    return CaseSession(lake, Run(lake, init["run"]), device=init["device"], device_bytes=share)


class CaseSession:
    """Runs cases of one run; models and the shard at hand stay loaded."""

    def __init__(self, lake: Lake, run: Run, *, device: str, device_bytes: int | None = None) -> None:
        self.lake = lake
        self.run = run
        self.device = device
        self.device_bytes = device_bytes
        self._network: Callable[[str], Network] = cache(self._load_network)
        self.lock = with_networks(read_lock(run.lock()), self._opener)
        self.heads = Heads(after=QUICK_AFTER)
        # larger volumes go in slabs where they can
        self.memory = KeptMemory(_VOXEL_BYTES * SLABS_ABOVE_VOXELS)
        self.file_memory = KeptMemory(_FILE_BYTES)
        self._shard: tuple[int, list[Json]] = (-1, [])
        self.scorer: Callable[[str], Scorer] = cache(self._load_model)

    def make_room(self, kind: str, payload: Json) -> None:
        """Give back the memory that the last volume had and the next one will not need."""
        self.memory.keep(_VOXEL_BYTES * math.prod(self._planned(kind, payload)["locator"]["stack"]["shape"]))

    def call(self, kind: str, payload: Json, mark: Mark) -> Json:
        """Run the case at ``payload["shard"]``, ``payload["row"]``."""
        planned = self._planned(kind, payload)
        order = order_of(planned, self.run.name)
        route = self.lock.recipe.route(order.route)
        with Scratch(self.lake) as scratch:
            room = CaseRoom(self, route, planned["locator"], scratch)
            return run_case(order, room, mark).to_json()

    def _planned(self, kind: str, payload: Json) -> Json:
        if kind != "case":
            raise ConfigError(f"a case session answers to 'case', not {kind!r}")
        if self._shard[0] != payload["shard"]:
            self._shard = (payload["shard"], self.run.shard_payloads(payload["shard"]))
        return self._shard[1][payload["row"]]

    def _load_model(self, digest: str) -> Scorer:
        return load(Package(model_files(self.lake, digest)))

    def _opener(self, digest: str) -> OpensNetwork:
        return partial(self._network, digest)

    def _load_network(self, digest: str) -> Network:
        return load_network(NetworkPackage(model_files(self.lake, digest)))


class CaseRoom:
    """What a case needs from around it: its files, the lake, the models.

    Parameters
    ----------
    session : CaseSession
    route : Route
    locator : mapping
        ``root``, ``stack`` and ``companions`` of the volume; where its files lie in several
        archives ``roots``, by the first part of their paths; ``images``: the same of its companion
        images by name, or the code why there is none.
    scratch : Scratch
        For volumes that go in slabs.
    slabs_above_voxels : int
        See :func:`medpipe.plan.memory.goes_in_slabs`.
    """

    def __init__(
        self,
        session: CaseSession,
        route: Route,
        locator: Mapping[str, Any],
        scratch: Scratch,
        *,
        slabs_above_voxels: int = SLABS_ABOVE_VOXELS,
    ) -> None:
        self._session = session
        self._route = route
        self._locator = locator
        self._slabs_above_voxels = slabs_above_voxels
        self.spool: Callable[[tuple[int, ...]], Spool] = scratch.spool
        self.device = session.device
        self.device_bytes = session.device_bytes

    @property
    def lock(self) -> LockedRecipe:
        """The run's locked recipe."""
        return self._session.lock

    @cached_property
    def _files(self) -> Files:
        return self._files_of(self._locator)

    def _files_of(self, locator: Mapping[str, Any]) -> Files:
        roots = locator.get("roots")
        source_of = partial(source_at, stays=True)
        source = source_of(locator["root"]) if roots is None else FolderSources(roots, source_of)
        session = self._session
        return Files(source, locator["digests"], session.heads, memory=session.file_memory)

    def read(self) -> Reading:
        """Read the primary volume, into a spool where it goes in slabs."""
        stack = Stack.from_json(self._locator["stack"])
        in_slabs = goes_in_slabs(self._route, stack.kind, stack.geometry(), above_voxels=self._slabs_above_voxels)
        looking = (*self._route.image, *self._route.regions)
        volume, quantization = load_volume(
            stack,
            self._files,
            self._files.open,
            frame_of_reference_key=self._locator["frame_of_reference_key"],
            into=self.spool(stack.shape) if in_slabs else self._session.memory.array(stack.shape),
            with_maps=any(getattr(op, "uses_real_world", False) for op in looking),
            with_display=any(getattr(op, "uses_display", False) for op in looking),
        )
        return Reading(volume=volume, quantization=quantization)

    def image(self, name: str) -> Volume:
        """Read a companion image, whole."""
        locator = self._locator["images"][name]
        if "code" in locator:
            raise Rejected(locator["code"])
        companion = next(one for one in self._route.companions if one.name == name)
        files = self._files_of(locator)
        volume, _ = load_volume(
            Stack.from_json(locator["stack"]),
            files,
            files.open,
            frame_of_reference_key=locator["frame_of_reference_key"],
            with_maps=any(getattr(op, "uses_real_world", False) for op in companion.image),
            with_display=any(getattr(op, "uses_display", False) for op in companion.image),
        )
        return volume

    def companions(self, volume: Volume) -> Companions:
        """Read the segmentations, structure sets and masks of the series onto the volume's grid."""
        paths = self._locator["companions"]
        if not paths:
            return Companions()
        labels = self._locator.get("labels", {})
        objects = (
            (structs.replace(self._files[path], labels=tuple(labels.get(path, ()))), bytes(self._files.open(path)))
            for path in paths
        )
        frame_uid = self._locator["stack"].get("frame_of_reference_uid", "")
        return load_companions(objects, volume.geometry, frame_of_reference_uid=frame_uid)

    def store(self, key: str, reading: Reading, final: Volume | None, content_digest: str) -> Json:
        """Publish the volume under its product key, and the final image beside it."""
        row = put_volume(self._session.lake, key, _nameless(reading.volume), quantization=reading.quantization)
        kept = {name: row[name] for name in ("store", "dtype", "shape", "axes")}
        final_store = None
        if final is not None:
            final_store = put_volume(self._session.lake, final_key(key), _nameless(final))["store"]
        return {
            **kept,
            "final_store": final_store,
            "unit": reading.volume.unit,
            "content_digest": content_digest,
        }

    def store_image(self, key: str, volume: Volume, attrs: Json) -> str:
        """Publish an image under its product key."""
        return str(put_volume(self._session.lake, key, _nameless(volume), attrs=attrs)["store"])

    def store_files(self, key: str, files: Iterable[tuple[str, bytes]]) -> str:
        """Publish files under their product key."""
        return put_files(self._session.lake, key, files)

    def scorer(self, digest: str) -> Scorer:
        """Return a loaded model."""
        return self._session.scorer(digest)


def _nameless(volume: Volume) -> Volume:
    """Return the volume without its identity: a product holds what its key covers, no more."""
    return replace(volume, geometry=replace(volume.geometry, frame_of_reference_key=None))


def final_key(key: str) -> str:
    """Return the key of the final image stored beside an original."""
    return product_key("final", beside=key)
