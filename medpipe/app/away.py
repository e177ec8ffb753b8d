"""Files that are gone although the index has them: no case is started that would read one.

Its results would be replaced by the news that a file is away. What is published stays as it is
until the files are back or their deletion is accepted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from medpipe.app.deletions import Deletions
from medpipe.app.listing import CLOSED, Comparison, Entry, FileList
from medpipe.app.scan_state import SourceState, known_states
from medpipe.archive.other.cases import source_at
from medpipe.errors import StoppedError
from medpipe.keys import bytes_digest
from medpipe.lake.lake import Lake
from medpipe.plan.cases import Case
from medpipe.recipe.lock import LockedRecipe

_TOKEN_DIGITS = 16


class Away:
    """Counts the cases that would read files that are gone.

    Those of an archive that was scanned just now are known: its scan proposes their deletion. An
    archive that was not is listed when the first case would read it, and what is gone there
    counts when a scan would propose its deletion.

    Parameters
    ----------
    lake : Lake
    lock : LockedRecipe
    share : float
        Share of an archive's files that may be gone.
    scanned : mapping of str to set of int
        By folder of an archive that was scanned just now, tokens of the files it lacks.

    Attributes
    ----------
    cases : Counter
        By folder of an archive, cases that would read files it lacks.
    """

    def __init__(
        self,
        lake: Lake,
        lock: LockedRecipe,
        *,
        share: float,
        scanned: Mapping[str, set[int]],
    ) -> None:
        self.cases: Counter[str] = Counter()
        self._lake = lake
        self._share = share
        self._scanned = scanned
        self._uses_companions = {
            route.name: any(op.uses_companions for op in route.regions) for route in lock.recipe.routes
        }
        self._gone: dict[str, set[int]] = dict(scanned)
        self._files: defaultdict[str, set[int]] = defaultdict(set)

    def look(self, case: Case, locator: Mapping[str, Any]) -> None:
        """Count a pending case, if it would read what is gone.

        Raises
        ------
        StoppedError
            If it would read an archive that cannot be listed, or is empty although it was not.
        """
        if case.work is None or not case.work.opens_files:
            return
        left_out = () if self._uses_companions[case.route] else locator["companions"]
        lacking = self._lacking(locator, left_out)
        for image in locator.get("images", {}).values():
            # regions drawn on a companion image are not looked at
            for root, found in {} if "code" in image else self._lacking(image, image["companions"]).items():
                lacking[root] = lacking.get(root, set()) | found
        for root, found in lacking.items():
            self.cases[root] += 1
            self._files[root] |= found

    def _lacking(self, locator: Mapping[str, Any], left_out: Collection[str]) -> dict[str, set[int]]:
        """Return the tokens of the files of a locator that are gone, by archive; those left out do not count."""
        lacking: dict[str, set[int]] = {}
        for root, read in _by_root(locator, [path for path in locator["digests"] if path not in left_out]).items():
            if root not in self._gone:
                self._gone[root] = self._listed(root)
            gone = self._gone[root]
            found = {path_token(path) for path in read} & gone if gone else set()
            if found:
                lacking[root] = found
        return lacking

    def refuse(self) -> None:
        """Stop if any case was counted.

        Raises
        ------
        StoppedError
            With what is gone, and what to do.
        """
        if self.cases:
            said = "; ".join(self._said(root) for root in sorted(self.cases))
            raise StoppedError(f"{said}. No case was run; the tables stay as they are")

    def _said(self, root: str) -> str:
        way = "give" if root in self._scanned else "name this archive in the command too, with"
        return (
            f"archive {root}: {len(self._files[root])} files are gone that {self.cases[root]} cases would read: "
            f"bring them back, or {way} --accept-deletions"
        )

    def _listed(self, root: str) -> set[int]:
        state = self._state(root)
        if not Path(root).exists():
            raise not_mounted(root, "away", state.files, is_named=False)
        comparison = Comparison()
        known = FileList(self._lake.private, "", state.chunks).entries()
        tokens: set[int] = set()

        def gone() -> Iterator[Entry]:
            for item, entry, _, is_inner in comparison.changes(source_at(root).scan(), known):
                if item is None and entry is not None and not is_inner and entry.note != CLOSED:
                    tokens.add(path_token(entry.path))
                    yield entry

        deletions = Deletions(share=self._share, known=state.known, accepted=False)
        deletions.decide(gone())
        if not comparison.listed:
            raise not_mounted(root, "empty", state.files, is_named=False)
        return tokens if deletions.are_proposed else set()

    def _state(self, root: str) -> SourceState:
        return next(state for state in known_states(self._lake) if state.root == root)


def _by_root(locator: Mapping[str, Any], paths: Iterable[str]) -> dict[str, list[str]]:
    """Return paths by the folder of their archive, as that archive has them."""
    if "roots" not in locator:
        return {locator["root"]: list(paths)}
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        source, _, own = path.partition("/")
        found[locator["roots"][source]].append(own)
    return found


def path_token(path: str) -> int:
    """Return a number by which a set of many paths takes little room."""
    return int(bytes_digest(path.encode())[:_TOKEN_DIGITS], 16)


def not_mounted(root: str | Path, how: str, files: int, *, is_named: bool = True) -> StoppedError:
    """Return the error for an archive that is away or empty although it held files.

    Parameters
    ----------
    root : path
    how : {"away", "empty"}
    files : int
        How many it held.
    is_named : bool
        Whether the command names the archive; cases may read others too.
    """
    if is_named:
        return StoppedError(
            f"archive {root} is {how}, but held {files} files before: is it mounted? The index was left as it is"
        )
    return StoppedError(
        f"archive {root} is {how}, but held {files} files before, and cases of this recipe read them: is it mounted? "
        "No case was run; medpipe forget takes out an archive that will not come back"
    )
