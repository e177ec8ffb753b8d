"""A case list: a table in CSV of images and their masks, as radiomics programs take it.

Columns ``Image`` and ``Mask`` with paths, absolute or beside the list; and, where they are
there, ``ID`` (the case or patient), ``Label`` (a value of the mask) and ``Modality``. A row is an
image and one of its masks. ``Image`` may be the SeriesInstanceUID of a series in another archive.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from medpipe.archive.containers import begins_like_archive
from medpipe.archive.encoding import decode_path, encode_path, path_order
from medpipe.archive.open_file import MAX_FILE_BYTES, OpenFile
from medpipe.archive.other.identity import Role, is_uid
from medpipe.archive.source import FolderSource
from medpipe.archive.tars import BLOCK
from medpipe.contracts.protocols import Item
from medpipe.errors import ConfigError, Rejected, StoppedError
from medpipe.keys import digest

MAX_LIST_BYTES: Final = 64 << 20
_HEAD_BYTES: Final = 4096
_MOST_LABEL: Final = 1 << 31
_PATIENTS: Final = ("id", "patient", "patientid", "case")
_NOT_UTF8: Final = "is not in UTF-8: save it as UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseList:
    """What a case list says.

    Attributes
    ----------
    roles : dict of str to Role
        By path: relative to the list's folder, or absolute for what lies elsewhere.
    bad_rows : tuple of int
        Numbers of the rows that name no image, or a label that is none; and all rows of an image
        of which they say two cases or two modalities, or of a mask of images of two cases.
    """

    roles: dict[str, Role]
    bad_rows: tuple[int, ...]


class ListedSource:
    """The files that a case list names, as a :class:`medpipe.contracts.protocols.Source`.

    Parameters
    ----------
    path : path
        The list.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._cases: CaseList | None = None

    def scan(self) -> Iterator[Item]:
        """Yield every file that is named, once; what is not there carries ``E_CASE_FILE``.

        A row that cannot be used is an item with ``E_CASE_ROW``. The version of a file changes with
        what the list says of it.

        Raises
        ------
        StoppedError
            If the list cannot be read.
        """
        cases = self.read()
        items = [self._item(path, role) for path, role in cases.roles.items()]
        name = encode_path(os.fsencode(self.path.name))
        items += [Item(path=f"{name}/row {row}", size=0, version="row", problem="E_CASE_ROW") for row in cases.bad_rows]
        yield from sorted(items, key=lambda item: path_order(item.path))

    def open(self, path: str) -> bytes:
        """Return the bytes of a file; see :meth:`medpipe.archive.source.FolderSource.open`."""
        with self.opened(path) as file:
            return file.whole()

    def opened(self, path: str) -> AbstractContextManager[OpenFile]:
        """Open a file; see :meth:`medpipe.archive.source.FolderSource.opened`."""
        folder, inner = self._folder(path)
        return folder.opened(inner)

    def has(self, path: str) -> bool:
        """Tell whether there is a file."""
        folder, inner = self._folder(path)
        return folder.has(inner)

    def members(self, path: str) -> tuple[list[Item], str]:
        """Return nothing, and why: a list names images and masks, not archive files."""
        if not self.has(path):
            raise Rejected("E_VANISHED")
        return [], "E_ARCHIVE_NESTED"

    def _folder(self, path: str) -> tuple[FolderSource, str]:
        if path.startswith("/"):
            return FolderSource("/"), path[1:]
        return FolderSource(self.path.parent), path

    def read(self) -> CaseList:
        """Return the list, read once.

        Raises
        ------
        StoppedError
            If it is gone, or no case list any more.
        """
        if self._cases is None:
            self._cases = self._read()
        return self._cases

    def _read(self) -> CaseList:
        try:
            text = _text(self.path, MAX_LIST_BYTES)
        except UnicodeDecodeError:
            raise StoppedError(f"case list {self.path}: {_NOT_UTF8}") from None
        table = None if text is None else _table(text)
        if table is None:
            raise StoppedError(f"case list {self.path}: cannot be read as CSV with the columns Image and Mask")
        bad: list[int] = []
        named: list[tuple[int, str, dict[str, str]]] = []
        sayings: dict[str, set[Role]] = {}
        for number, row in table:
            try:
                image = self._image(row)
            except ValueError:
                bad.append(number)
                continue
            named.append((number, image, row))
            sayings.setdefault(image, set()).add(_said(row))
        agreed = {image: _agreed(said) for image, said in sayings.items()}
        roles: dict[str, Role] = {}
        torn = self._torn((agreed[image], row) for _, image, row in named)
        for number, image, row in named:
            try:
                self._add(image, agreed[image], row, roles, torn)
            except ValueError:
                bad.append(number)
        return CaseList(roles=roles, bad_rows=tuple(sorted(bad)))

    def _torn(self, rows: Iterable[tuple[Role | None, dict[str, str]]]) -> set[str]:
        """Return the masks that rows give to images of several cases."""
        cases: defaultdict[str, set[str]] = defaultdict(set)
        for agreed, row in rows:
            if agreed is not None and agreed.case and row["mask"] and "\0" not in row["mask"]:
                cases[self._place(row["mask"])].add(agreed.case)
        return {mask for mask, found in cases.items() if len(found) > 1}

    def _image(self, row: dict[str, str]) -> str:
        if not row["image"]:
            raise ValueError("no image")
        return row["image"] if is_uid(row["image"]) else self._place(row["image"])

    def _add(
        self, image: str, agreed: Role | None, row: dict[str, str], roles: dict[str, Role], torn: Collection[str]
    ) -> None:
        if agreed is None:
            raise ValueError("an image of two cases or modalities")
        said = _said(row)
        label = (_label(row["label"]),) if row.get("label") else ()
        if not is_uid(row["image"]):
            if roles.get(image, said).images:
                raise ValueError("an image that is a mask elsewhere")
            roles.setdefault(image, agreed)
        if not row["mask"]:
            return
        mask = self._place(row["mask"])
        known = roles.get(mask)
        if mask == image or (known is not None and not known.images):
            raise ValueError("a mask that is an image elsewhere")
        if mask in torn:
            raise ValueError("a mask of two cases")
        known = replace(said, images=(image,), labels=label) if known is None else known
        # without a label all values count
        labels = tuple(sorted({*known.labels, *label})) if known.labels and label else ()
        roles[mask] = replace(known, images=tuple(sorted({*known.images, image})), labels=labels)

    def _place(self, said: str) -> str:
        """Return where a named file is: its folder with links followed, as the list's author sees it."""
        if "\0" in said:
            raise ValueError("no path")
        folder, name = os.path.split(os.path.join(self.path.parent, said))  # noqa: PTH118  # keeps trailing dots
        place = Path(os.path.realpath(folder), name)
        base = Path(os.path.realpath(self.path.parent))
        return encode_path(os.fsencode(place.relative_to(base) if place.is_relative_to(base) else place))

    def _item(self, path: str, role: Role) -> Item:
        place = os.path.join(os.fsencode(os.path.realpath(self.path.parent)), decode_path(path))  # noqa: PTH118
        said = digest([role.case, role.modality, role.images, role.labels])[:8]
        try:
            found = os.lstat(place)
        except (OSError, ValueError):
            return Item(path=path, size=0, version="named", problem="E_CASE_FILE")
        problem = None
        if stat.S_ISLNK(found.st_mode):
            problem = "E_SYMLINK"
        elif not stat.S_ISREG(found.st_mode):
            problem = "E_CASE_FILE"
        elif found.st_size > MAX_FILE_BYTES:
            problem = "E_TOO_LARGE"
        version = f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}-{said}"
        return Item(path=path, size=found.st_size, version=version, problem=problem)


def is_case_list(path: Path) -> bool:
    """Tell by its first line whether a file is a case list, whatever its encoding."""
    text = _text(path, _HEAD_BYTES, whole=False)
    return text is not None and _table(text.replace("\0", "").partition("\n")[0]) is not None


def check_case_list(path: Path) -> None:
    """Refuse a case list in another encoding than UTF-8.

    Raises
    ------
    ConfigError
    """
    try:
        text = _text(path, MAX_LIST_BYTES)
    except UnicodeDecodeError:
        raise ConfigError(f"case list {path}: {_NOT_UTF8}") from None
    # UTF-16 of plain letters is UTF-8 too, with zeros
    if text is not None and "\0" in text.partition("\n")[0]:
        raise ConfigError(f"case list {path}: {_NOT_UTF8}")


def source_at(root: str | Path, *, stays: bool = False) -> FolderSource | ListedSource:
    """Return what an archive is read by: a folder, an archive file, or the files a case list names.

    Parameters
    ----------
    root : path
    stays : bool
        See :class:`medpipe.archive.source.FolderSource`.
    """
    path = Path(root)
    if path.is_file() and not is_archive_file(path):
        return ListedSource(path)
    return FolderSource(path, stays=stays)


def is_archive_file(path: Path) -> bool:
    """Tell by its first bytes whether a file is a zip or a tar."""
    with path.open("rb") as file:
        return begins_like_archive(file.read(BLOCK))


def _text(path: Path, most_bytes: int, *, whole: bool = True) -> str | None:
    """Return a file's text, or as much of its beginning; None where it cannot be read or is too long.

    Raises
    ------
    UnicodeDecodeError
        If the whole is not in UTF-8.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(most_bytes + 1)
        if whole and len(data) > most_bytes:
            return None
    except OSError:
        return None
    if whole:
        return data.decode("utf-8-sig")
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        data = data.removeprefix(mark)
    return data.decode("utf-8-sig", "replace")


def _table(text: str) -> list[tuple[int, dict[str, str]]] | None:
    """Return the rows with their numbers, by the names of the columns in lower case."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error:
        return None
    names = [name.strip().lower() for name in lines[0]] if lines else []
    if not {"image", "mask"} <= set(names) or len(set(names)) != len(names):
        return None
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if any(cell.strip() for cell in cells):
            padded = [*cells, *[""] * (len(names) - len(cells))]
            rows.append((number, {name: cell.strip() for name, cell in zip(names, padded, strict=False)}))
    return rows


def _said(row: dict[str, str]) -> Role:
    """Return the case and the modality of a row."""
    case = next((row[name] for name in _PATIENTS if row.get(name)), "")
    return Role(case=case, modality=row.get("modality", "").upper())


def _agreed(sayings: Iterable[Role]) -> Role | None:
    """Return the case and the modality that the rows of one image give it between them; None if they contradict."""
    cases = {said.case for said in sayings} - {""}
    modalities = {said.modality for said in sayings} - {""}
    if len(cases) > 1 or len(modalities) > 1:
        return None
    return Role(case="".join(cases), modality="".join(modalities))


def _label(said: str) -> int:
    value = float(said)
    if not value.is_integer() or not 0 < abs(value) < _MOST_LABEL:
        raise ValueError("no label")
    return int(value)
