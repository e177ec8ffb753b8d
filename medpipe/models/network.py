"""A packaged network: an ONNX file and its card under one digest, loaded on one thread and proven.

The digest over both files pins it in recipes. Like a model of scikit-learn it carries proof: what it
answered to a tile made by a formula when it was packaged, asked again each time it is loaded.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from medpipe.contracts.networks import NetworkFacts, Tile
from medpipe.errors import ConfigError, IntegrityError, Rejected
from medpipe.keys import canonical
from medpipe.models.network_card import NetworkCard
from medpipe.models.onnx_file import check_file
from medpipe.models.packed import CARD_FILE, Packed

NETWORK_FILE = "model.onnx"

PROOF_NUMBERS = 64
"""Most answers that are kept as proof."""

PROOF_TOLERANCE = 1e-4
"""Largest difference of an answer of the proof, as a share of the largest of them above 1."""

_FLOAT = "tensor(float)"
_MISSING = "networks need onnxruntime: pip install 'medpipe[onnx]'"
_QUIET = 4


@dataclass(frozen=True)
class NetworkPackage(Packed):
    """A network's files.

    Attributes
    ----------
    files : mapping of str to bytes
        Exactly ``model.onnx`` and ``card.json``.
    """

    what: ClassVar[str] = "a packaged network"
    model_file: ClassVar[str] = NETWORK_FILE

    @cached_property
    def card(self) -> NetworkCard:
        """The card, read strictly.

        Raises
        ------
        ConfigError
            If the card cannot be read or a field of it is wrong.
        """
        return NetworkCard.from_json(self.read_card())


def is_network(files: Mapping[str, bytes]) -> bool:
    """Tell whether the files of a model are those of a network."""
    return NETWORK_FILE in files


def package_network(data: bytes, card: NetworkCard) -> NetworkPackage:
    """Package a network with its proven card."""
    return NetworkPackage({NETWORK_FILE: data, CARD_FILE: canonical(card.to_json()).encode("ascii")})


def proven_card(data: bytes, card: NetworkCard) -> NetworkCard:
    """Return a card with the names of the tensors, the proof, and the version of what gave it.

    Parameters
    ----------
    data : bytes
        The ONNX file.
    card : NetworkCard
        As a person wrote it.

    Raises
    ------
    SecurityError
        If the file holds what :func:`medpipe.models.onnx_file.check_file` refuses.
    ConfigError
        If onnxruntime is missing or cannot load it, if it is not what the card says, or if it does not
        answer, or answers the same tile in two ways.
    """
    session = _session(data, card.name)
    facts = _named_tensors(session, card)
    network = OnnxNetwork(facts=facts, session=session)
    tile = proof_tile(facts)
    try:
        first, again = network(tile), network(tile)
    except Rejected:
        raise ConfigError(
            f"network {card.name}: asked with zeros to ones it fails, or gives values that are not finite or another "
            f"shape than {list(facts.answer_shape)}"
        ) from None
    if first.tobytes() != again.tobytes():
        raise ConfigError(f"network {card.name}: it answers one tile in two ways")
    return replace(card, facts=facts, proof=_kept(first), runtime_version=str(_runtime().__version__))


def load_network(package: NetworkPackage) -> OnnxNetwork:
    """Return a packaged network, ready to be asked.

    Raises
    ------
    SecurityError
        If the file holds what is refused.
    ConfigError
        If onnxruntime is missing, if the card is wrong or does not fit the network, or if another version of
        onnxruntime than proved it answers otherwise.
    IntegrityError
        If the version that proved it gives other answers.
    """
    card = package.card
    session = _session(package.files[NETWORK_FILE], card.name)
    network = OnnxNetwork(facts=_named_tensors(session, card), session=session)
    if _is_proven(network, card.proof):
        return network
    here = str(_runtime().__version__)
    if card.runtime_version != here:
        raise ConfigError(
            f"network {card.name}: proven with onnxruntime {card.runtime_version[:32]}, and {here} answers otherwise; "
            "register it again"
        )
    raise IntegrityError(f"network {card.name}: it does not give the answers its card records")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxNetwork:
    """A loaded network; see :class:`medpipe.contracts.networks.Network`.

    Attributes
    ----------
    facts : NetworkFacts
    session : onnxruntime.InferenceSession
    """

    facts: NetworkFacts
    session: Any

    def __call__(self, tile: Tile) -> Tile:
        """Return the answer to one tile.

        Raises
        ------
        Rejected
            ``E_NETWORK``.
        """
        try:
            (answer,) = self.session.run([self.facts.output], {self.facts.input: tile})
        except Exception:  # noqa: BLE001  # a network may ask the runtime for anything: a size that overflows, all memory
            raise Rejected("E_NETWORK") from None
        is_right = isinstance(answer, np.ndarray) and answer.shape == self.facts.answer_shape
        if not is_right or answer.dtype != np.float32 or not np.isfinite(answer).all():
            raise Rejected("E_NETWORK")
        return answer  # type: ignore[no-any-return]  # checked to be one


def check_runtime() -> None:
    """Refuse to go on where onnxruntime is not installed; it is not loaded.

    Raises
    ------
    ConfigError
        If it is missing.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise ConfigError(_MISSING)


def proof_tile(facts: NetworkFacts) -> Tile:
    """Return a tile of numbers between 0 and 1 that any host makes alike."""
    places = np.arange(prod(facts.tile_shape), dtype=np.uint64)
    mixed = (places * np.uint64(2_654_435_761)) % np.uint64(1 << 32) >> np.uint64(8)
    return (mixed.astype(np.float32) / np.float32(1 << 24)).reshape(facts.tile_shape)


def _runtime() -> Any:
    """Return the library: no import of medpipe brings it, and nothing it says of use goes anywhere."""
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(_MISSING) from None
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _session(data: bytes, name: str) -> Any:
    check_file(data)
    runtime = _runtime()
    options = runtime.SessionOptions()
    # sums over several threads would depend on how many there are
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    # memory of the last tile is given back: a sandbox goes on to other cases
    options.enable_cpu_mem_arena = False
    # of bytes that could be both, what was looked at is loaded
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # what it prints may quote names of the file
    options.log_severity_level = _QUIET
    try:
        # without a second try, which it would print
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # noqa: BLE001  # hostile content may raise anything
        raise ConfigError(f"network {name}: onnxruntime cannot load it ({type(error).__name__})") from None


class _Tensor(NamedTuple):
    """What a session says of an input or output; a size is None where it is not known before it is asked."""

    name: str
    elements: str
    shape: list[int | None]


def _tensors(described: Any, name: str) -> list[_Tensor]:
    try:
        return [
            _Tensor(one.name, one.type, [size if isinstance(size, int) else None for size in one.shape])
            for one in described
        ]
    except Exception:  # noqa: BLE001  # hostile names may be no text
        raise ConfigError(f"network {name}: it does not say what it takes and gives") from None


def _named_tensors(session: Any, card: NetworkCard) -> NetworkFacts:
    """Return the facts with the names of the tensors, which fit what the session says of them."""
    facts = card.facts
    inputs, outputs = (_tensors(told(), card.name) for told in (session.get_inputs, session.get_outputs))
    if len(inputs) != 1:
        raise ConfigError(f"network {card.name}: it takes {len(inputs)} inputs; one is given")
    given = _tensor(inputs, facts.input, card.name, "input")
    result = _tensor(outputs, facts.output, card.name, "output")
    for what, tensor, shape in (("input", given, facts.tile_shape), ("output", result, facts.answer_shape)):
        if tensor.elements != _FLOAT:
            raise ConfigError(f"network {card.name}: its {what} is no float32 ({tensor.elements[:40]})")
        # an output of a rank that is not known is looked at when it is there
        is_open = what == "output" and not tensor.shape
        if not is_open and not _fits(tensor.shape, shape):
            shown = ", ".join("?" if one is None else str(one) for one in tensor.shape)
            raise ConfigError(f"network {card.name}: its {what} is [{shown}], but the card says {list(shape)}")
    return replace(facts, input=given.name, output=result.name)


def _tensor(tensors: list[_Tensor], wanted: str, name: str, what: str) -> _Tensor:
    names = [tensor.name for tensor in tensors]
    if (wanted and wanted not in names) or (not wanted and len(names) != 1):
        shown = ", ".join(one[:40] for one in names[:8]) or "none"
        raise ConfigError(f"network {name}: {what} {wanted!r} is none of its {what}s ({shown}); name one in the card")
    return tensors[names.index(wanted)] if wanted else tensors[0]


def _fits(said: list[int | None], shape: tuple[int, ...]) -> bool:
    return len(said) == len(shape) and all(one is None or one == size for one, size in zip(said, shape, strict=True))


def _kept(answer: Tile) -> tuple[float, ...]:
    places = np.linspace(0, answer.size - 1, min(answer.size, PROOF_NUMBERS)).astype(np.int64)
    return tuple(float(value) for value in answer.reshape(-1)[places])


def _is_proven(network: OnnxNetwork, proof: tuple[float, ...]) -> bool:
    try:
        found = np.array(_kept(network(proof_tile(network.facts))))
    except Rejected:
        return False
    expected = np.array(proof)
    if found.shape != expected.shape:
        return False
    return bool(np.abs(found - expected).max() <= PROOF_TOLERANCE * max(1.0, np.abs(expected).max()))
