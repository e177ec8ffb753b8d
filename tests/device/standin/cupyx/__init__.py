"""Part of the stand-in of CuPy: see the package ``cupy`` beside it."""

from __future__ import annotations

from typing import Any

from cupy._facts import missing


def scatter_add(a: Any, slices: Any, value: Any) -> None:
    a.scatter_add(slices, value)


def scatter_max(a: Any, slices: Any, value: Any) -> None:
    a.scatter_max(slices, value)


def scatter_min(a: Any, slices: Any, value: Any) -> None:
    a.scatter_min(slices, value)


def __getattr__(name: str) -> Any:
    if name.startswith("__") or name == "scipy":
        raise AttributeError(name)
    raise missing("cupyx", name)
