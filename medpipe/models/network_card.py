"""The card of a network: how images are made ready for it, what it gives, and proof that it gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from medpipe.contracts.networks import NetworkFacts
from medpipe.errors import ConfigError
from medpipe.models.card import check_name, read_record

FORMAT = 1
"""Version of the card's fields."""

MAX_MEMORY_MB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCard:
    """All that is said of a network beside its file.

    Attributes
    ----------
    name : str
        Lower-case letters, digits, ``_``, ``.`` and ``-``; at most 64.
    facts : NetworkFacts
    proof : tuple of float
        What it answered when it was packaged to a tile that is made by a formula, at places spread evenly.
    memory_mb : int
        What loading it and asking it takes, in MiB.
    runtime_version : str
        Version of onnxruntime that gave the proof.
    description : str
    format : int
    """

    name: str
    facts: NetworkFacts
    proof: tuple[float, ...] = ()
    memory_mb: int = 0
    runtime_version: str = ""
    description: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.format != FORMAT:
            raise ConfigError(f"network {self.name}: card format {self.format}; this version reads {FORMAT}")
        if not 0 <= self.memory_mb <= MAX_MEMORY_MB:
            raise ConfigError(f"network {self.name}: memory_mb must be from 0 to {MAX_MEMORY_MB}")

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON values."""
        value: dict[str, Any] = asdict(self)
        return value

    @classmethod
    def from_json(cls, value: Any) -> NetworkCard:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ConfigError
            For an unknown, missing or mistyped field, or facts that contradict each other.
        """
        card: NetworkCard = read_record(cls, value, "card")
        return card

    @classmethod
    def from_table(cls, table: Mapping[str, Any], *, name: str = "") -> NetworkCard:
        """Read the card a person wrote: the fields of :class:`NetworkFacts`, and ``name``, ``description``, ``memory_mb``.

        Fields with a default may be left out. `name` stands for that of the table.

        Raises
        ------
        ConfigError
            With the field that is unknown, missing or wrong.
        """
        given = dict(table)
        own = {key: given.pop(key) for key in ("name", "description", "memory_mb") if key in given}
        facts = {field.name: field.default for field in fields(NetworkFacts) if field.default is not MISSING} | given
        empty = {"proof": [], "memory_mb": 0, "runtime_version": "", "description": "", "format": FORMAT}
        return cls.from_json({**empty, **own, **({"name": name} if name else {}), "facts": facts})
