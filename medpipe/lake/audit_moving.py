"""Checks in a lake on which others are at work: what a run, a scan or gc replaced or removed meanwhile is no damage."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from medpipe.errors import MedpipeError
from medpipe.lake.lake import Lake

Check = Callable[[], object]


def listed(lake: Lake, path: str, check: Check) -> tuple[str, Check]:
    """Return the check of something that was found by listing.

    If it is gone by the time it is looked at, somebody removed it. Whether anything still names
    it is for the check of that which might.
    """
    return path, partial(_unless, partial(_is_gone, lake, path), check)


def named(path: str, check: Check, *, is_released: Callable[[], bool] = lambda: False) -> tuple[str, Check]:
    """Return the check of something that must be there, whose names are read anew if it fails.

    Parameters
    ----------
    path : str
    check : callable
        Reads what it needs each time.
    is_released : callable
        Tells that nothing names it any more.
    """
    return path, partial(_unless, is_released, check)


def _unless(is_released: Callable[[], bool], check: Check) -> None:
    try:
        check()
    except (FileNotFoundError, MedpipeError):
        if is_released():
            return
        # it may have stood between two looks what nobody ever saw together
        try:
            check()
        except (FileNotFoundError, MedpipeError):
            if not is_released():
                raise


def _is_gone(lake: Lake, path: str) -> bool:
    return not lake.store.exists(path)
