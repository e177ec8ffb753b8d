"""Files of a model under one digest, one of them a card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from medpipe.errors import ConfigError
from medpipe.keys import bytes_digest, digest

CARD_FILE = "card.json"
MAX_CARD_BYTES = 8 * 2**20
"""Largest card read."""


@dataclass(frozen=True)
class Packed:
    """Files of a model.

    Attributes
    ----------
    files : mapping of str to bytes
        Exactly the one that is the model, and ``card.json``.
    """

    what: ClassVar[str]
    """What it is, for messages."""
    model_file: ClassVar[str]

    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        if set(self.files) != {self.model_file, CARD_FILE}:
            raise ConfigError(f"{self.what} holds {self.model_file} and {CARD_FILE}, and nothing else")

    @cached_property
    def digest(self) -> str:
        """Digest over the names and contents of the files."""
        return digest({name: bytes_digest(data) for name, data in self.files.items()})

    def read_card(self) -> Any:
        """Return what the card says, unchecked.

        Raises
        ------
        ConfigError
            If the card is too large or not JSON.
        """
        if len(self.files[CARD_FILE]) > MAX_CARD_BYTES:
            raise ConfigError(f"{CARD_FILE}: larger than {MAX_CARD_BYTES} bytes")
        try:
            return json.loads(self.files[CARD_FILE])
        except (ValueError, RecursionError):
            raise ConfigError(f"{CARD_FILE}: not JSON") from None
