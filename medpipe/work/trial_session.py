"""The session in which a sandbox tries a network that was never run: what it does there costs only the sandbox."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from medpipe.errors import ConfigError
from medpipe.models.network import proven_card
from medpipe.models.network_card import NetworkCard
from medpipe.models.onnx_file import MAX_BYTES

MAX_CARD_BYTES = 1 << 20

Json = dict[str, Any]


def open_trial(init: Mapping[str, Any]) -> TrialSession:  # noqa: ARG001  # nothing is needed to begin
    """Open the session."""
    return TrialSession()


class TrialSession:
    """Loads a network, asks it, and tells what its card has to say."""

    def call(self, kind: str, payload: Json, mark: Callable[[str, str], None]) -> Json:
        """Try the network at ``payload["network"]``, with the card (TOML) at ``payload["card"]``.

        Returns
        -------
        dict
            ``card`` with its proof, and ``held_bytes``: what this process held before.
        """
        mark(kind, "network")
        card = NetworkCard.from_table(_table(Path(payload["card"])), name=payload["name"])
        held = psutil.Process().memory_info().rss
        data = read_file(Path(payload["network"]), most=MAX_BYTES)
        return {"card": proven_card(data, card).to_json(), "held_bytes": held}


def read_file(path: Path, *, most: int) -> bytes:
    """Return the bytes of a file that a person named.

    Raises
    ------
    ConfigError
        If it is no regular file, cannot be read, or is larger than `most` bytes.
    """
    try:
        if not path.is_file() or path.stat().st_size > most:
            raise ConfigError(f"{path.name}: no file, or larger than {most} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path.name}: cannot be read ({type(error).__name__})") from None


def _table(path: Path) -> Json:
    try:
        return tomllib.loads(read_file(path, most=MAX_CARD_BYTES).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise ConfigError(f"{path.name}: not valid TOML") from None
