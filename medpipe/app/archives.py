"""What archives are asked for: checked before a lake is made or touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import combinations
from pathlib import Path

from medpipe.archive.other.cases import check_case_list, is_archive_file, is_case_list, source_at
from medpipe.errors import ConfigError, StoppedError
from medpipe.lake.lake import is_lake


def check_archives(archives: Sequence[Path], lake: Path) -> None:
    """Refuse archives that cannot be scanned into a lake, before anything is written.

    An archive that is empty or away now may have held files before: of a lake that exists
    already only the scan can tell, so it decides there.

    Raises
    ------
    ConfigError
        If an archive is neither a folder nor an archive file, is a case list that is not in UTF-8, is empty, lies in
        another one, or holds the lake or lies in it.
    StoppedError
        If an archive cannot be looked into.
    """
    _check_nested(archives)
    may_be_known = is_lake(lake)
    for archive in archives:
        is_there = _is_there(archive)
        if not is_there and not may_be_known:
            raise missing_archive(archive)
        _check_apart(archive.resolve(), lake.resolve())
        if is_there and not may_be_known and next(source_at(archive).scan(), None) is None:
            raise empty_archive(archive)


def check_known(archives: Sequence[Path], known: Collection[Path], say: Callable[[str], None]) -> None:
    """Refuse new archives that lie in one a lake knows, or hold one; say so of two that it knows.

    Parameters
    ----------
    archives : sequence of Path
    known : collection of Path
        Folders of the lake's sources.
    say : callable
        Told one line for each pair of known ones.

    Raises
    ------
    ConfigError
    """
    for root in dict.fromkeys(archive.resolve() for archive in archives):
        for other in known:
            if other == root or not _is_nested(root, other):
                continue
            if root not in known:
                raise ConfigError(
                    f"archive {root} and archive {other}, which was scanned into this lake before, lie one in the "
                    f"other: every file would be listed twice. Scan {other} as before, or medpipe forget it first"
                )
            say(f"archives {root} and {other} lie one in the other: files are listed twice; medpipe forget one of them")


def empty_archive(archive: Path) -> ConfigError:
    """Return the error for an archive that has never held a file."""
    return ConfigError(f"archive {archive} holds no file: check the path")


def missing_archive(archive: Path) -> ConfigError:
    """Return the error for an archive that is not there and never was."""
    return ConfigError(f"archive {archive}: no such folder or file")


def _is_there(archive: Path) -> bool:
    try:
        if archive.is_dir():
            return True
        if archive.is_file() and is_case_list(archive):
            check_case_list(archive)
            return True
        is_there = archive.exists()
        if is_there and archive.is_file() and is_archive_file(archive):
            return True
    except OSError as error:
        raise StoppedError(
            f"archive {archive}: cannot be looked into ({error.strerror}): check the permissions"
        ) from None
    if is_there:
        raise ConfigError(
            f"archive {archive}: is a file, not a folder, no zip or tar, and no case list (CSV with the columns Image "
            "and Mask): name the folder it lies in"
        )
    return False


def _check_nested(archives: Sequence[Path]) -> None:
    for one, other in combinations(dict.fromkeys(archive.resolve() for archive in archives), 2):
        if _is_nested(one, other):
            raise ConfigError(
                f"archives {one} and {other} lie one in the other: every file would be listed twice; name the outer one"
            )


def _is_nested(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _check_apart(archive: Path, lake: Path) -> None:
    if lake.is_relative_to(archive):
        raise ConfigError(
            f"lake {lake} lies in archive {archive}: its own files would be scanned; choose another folder"
        )
    if archive.is_relative_to(lake):
        raise ConfigError(f"archive {archive} lies in lake {lake}: keep images apart from results; move one of them")
