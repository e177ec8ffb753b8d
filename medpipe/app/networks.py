"""Networks a recipe may name: brought into a lake by ``medpipe register``, after a trial in a sandbox."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from medpipe.app.models import refuse_other_kind
from medpipe.app.named import known_of, refuse_unknown
from medpipe.contracts.networks import NetworkFacts, NetworkPin
from medpipe.engine.replies import Death, Reply
from medpipe.engine.sandbox import Sandbox, SandboxSpec
from medpipe.errors import ConfigError
from medpipe.lake.lake import Lake
from medpipe.lake.models import lake_models, model_files, put_model
from medpipe.models.network import NetworkPackage, check_runtime, is_network, package_network
from medpipe.models.network_card import NetworkCard
from medpipe.models.onnx_file import MAX_BYTES, check_file
from medpipe.models.resolve import resolve
from medpipe.recipe.networks import ResolveNetwork, named_networks
from medpipe.recipe.recipe import Recipe
from medpipe.work.trial_session import read_file

TRIAL_S = 300.0
TRIAL_BYTES = 8 << 30
"""Resident memory above which a trial is ended."""

LEAST_MB = 64
_TILES = 8
"""Arrays of the size of a tile or an answer that an op holds while it asks."""

_WHY = {
    "E_TIMEOUT": f"it took longer than {TRIAL_S:.0f} s to load and answer twice",
    "E_OOM": f"it took more than {TRIAL_BYTES >> 30} GiB to load and answer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRequest:
    """A network to bring into a lake.

    Attributes
    ----------
    lake : Path
    network : Path
        The ONNX file.
    card : Path
        TOML with the fields of :class:`medpipe.contracts.networks.NetworkFacts`, ``name`` and ``description``.
    name : str
        Stands for that of the card, if given.
    """

    lake: Path
    network: Path
    card: Path
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A network that is in a lake now.

    Attributes
    ----------
    package : NetworkPackage
    """

    package: NetworkPackage

    def facts(self) -> dict[str, Any]:
        """Return what the command prints."""
        card = self.package.card
        return {
            "name": card.name,
            "digest": self.package.digest,
            "kind": card.facts.kind,
            "patch": list(card.facts.patch),
            "numbers": card.facts.numbers,
            "memory_mb": card.memory_mb,
            "onnxruntime": card.runtime_version,
        }


def register_network(request: RegisterRequest) -> Brought:
    """Try a network in a sandbox and keep it in a lake, as the latest of its name.

    Raises
    ------
    ConfigError
        If a file cannot be read, the card is wrong or does not fit the network, the trial failed, or a model for scores
        has the name; says why.
    SecurityError
        If the network holds what is refused.
    """
    lake = Lake.open(request.lake)
    data = read_file(request.network, most=MAX_BYTES)
    check_file(data)
    package = package_network(data, _tried(request))
    refuse_other_kind(lake, package.card.name, network=True)
    put_model(lake, package.digest, package.files, name=package.card.name)
    return Brought(package=package)


def network_resolver(lake: Lake) -> ResolveNetwork:
    """Return what turns a reference to a network into its pin; each network is read once."""
    known = lake_models(lake)

    @cache
    def pin(reference: str) -> NetworkPin:
        found = resolve(reference, known, also=())
        files = model_files(lake, found.digest)
        if not is_network(files):
            raise ConfigError(f"model {found.name} is no network: name it in the models of the route")
        check_runtime()
        card = NetworkPackage(files).card
        return NetworkPin(
            name=found.name,
            digest=found.digest,
            kind=card.facts.kind,
            numbers=card.facts.numbers,
            memory_mb=card.memory_mb,
        )

    return pin


def check_networks(recipe: Recipe, root: Path) -> None:
    """Refuse a recipe that names a network nobody registered, before a lake is made for it.

    Raises
    ------
    ConfigError
        If a network is unknown; names those there are.
    """
    known = known_of(root, lake_models)
    named = ((one.where, one.op.model) for one in named_networks(recipe))
    refuse_unknown(
        named, lambda reference: resolve(reference, known, also=()), remedy="; medpipe register brings networks"
    )


def _tried(request: RegisterRequest) -> NetworkCard:
    spec = SandboxSpec(session="medpipe.work.trial_session:open_trial", init={}, forks=False)
    payload = {
        "network": str(request.network.absolute()),
        "card": str(request.card.absolute()),
        "name": request.name,
    }
    sandbox = Sandbox(spec)
    try:
        reply = sandbox.call("prove", payload, deadline_s=TRIAL_S, memory_bytes=TRIAL_BYTES)
    finally:
        sandbox.close()
    return _card_of(reply)


def _card_of(reply: Reply | Death) -> NetworkCard:
    if isinstance(reply, Death):
        raise ConfigError(f"the network was tried: {_WHY.get(reply.code, 'it ended its process')}")
    reply.raise_if_stopping()
    if reply.value is None:
        raise ConfigError(f"the network was tried: it failed ({reply.code})")
    card = NetworkCard.from_json(reply.value["card"])
    if card.memory_mb:
        return card
    return replace(card, memory_mb=_memory_mb(card.facts, reply.peak_bytes - reply.value["held_bytes"]))


def _memory_mb(facts: NetworkFacts, taken_bytes: int) -> int:
    """Return what a network takes, as a power of two: a little more or less in another trial makes no other card."""
    tiles = 4 * _TILES * max(prod(facts.tile_shape), prod(facts.answer_shape))
    return max(LEAST_MB, 1 << ((max(taken_bytes, 0) + tiles) >> 20).bit_length())
