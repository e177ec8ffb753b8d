"""Who a file is that holds no identifiers: it is named by where it lies in its archive.

Two volumes of a cohort may share every byte of their headers, so content that is cheap to read
is no identity. A file's series is its path without the ending of its format, and whether it is a
volume or a picture; its study the folder it lies in; both within one archive. A case list may say
more: the patient, the modality.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from medpipe.archive.closed import MODALITIES, closed_modality
from medpipe.archive.header import Header
from medpipe.errors import ConfigError

_ENDINGS: Final = re.compile(r"(?i)(?<=[^/])(\.nii\.gz|\.nii|\.seg\.nrrd|\.nrrd|\.png|\.jpe?g|\.tiff?|\.gz)$")
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+){4,}")
_PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_ROOT: Final = "2.25."
_VOLUMES: Final = frozenset({"nifti", "nrrd"})


def stem_of(path: str) -> str:
    """Return a path without the ending of a known format."""
    return _ENDINGS.sub("", path)


def local_uid(*names: str) -> str:
    """Return a UID made of names (the form of PS3.5 B.2)."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return f"{_ROOT}{int.from_bytes(digest[:16])}"


class MaskRule:
    """Says by name which file is a mask, and of which image.

    Parameters
    ----------
    mask : str
        The end of a mask's path without the ending of its format, such as ``{stem}_mask`` or
        ``labels/{case}_{roi}``; a name in braces stands for a part of one name.
    image : str
        The image's path at the same place, made of the same parts; or its SeriesInstanceUID.
    labels : sequence of int
        Values that are regions; none: all but 0.

    Raises
    ------
    ConfigError
        If the patterns do not fit each other.
    """

    def __init__(self, mask: str, image: str, labels: Sequence[int] = ()) -> None:
        names = _PLACE.findall(mask)
        if not names or len(set(names)) != len(names) or not set(_PLACE.findall(image)) <= set(names):
            raise ConfigError(
                f"masks: {mask!r} must hold names in braces, each once, and {image!r} no others (such as {{stem}})"
            )
        if mask == image:
            raise ConfigError(f"masks: {mask!r} is the image too")
        self.labels = tuple(labels)
        self._image = image
        self._mask = _ends_with(mask)

    def image_of(self, stem: str) -> str | None:
        """Return the path, without ending, of the image that a path is the mask of, or None."""
        found = self._mask.fullmatch(stem)
        if found is None:
            return None
        image = _PLACE.sub(lambda place: found[place[1]], self._image)
        return f"{found['_base']}{image}"


class ModalityRule:
    """Says by name of which modality an image is.

    Parameters
    ----------
    path : str
        The end of an image's path without the ending of its format, such as ``ct/{stem}``.
    modality : str
        A defined term of DICOM.

    Raises
    ------
    ConfigError
        If the modality is none, or a name in braces stands there twice.
    """

    def __init__(self, path: str, modality: str) -> None:
        names = _PLACE.findall(path)
        if len(set(names)) != len(names) or modality not in MODALITIES:
            raise ConfigError(f"modalities: {path!r} may hold each name in braces once, and {modality!r} must be one")
        self.modality = modality
        self._path = _ends_with(path)

    def fits(self, stem: str) -> bool:
        """Tell whether the rule is about a path without its ending."""
        return self._path.fullmatch(stem) is not None


def _ends_with(pattern: str) -> re.Pattern[str]:
    parts = _PLACE.split(pattern)
    named = "".join(f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(parts))
    return re.compile(f"(?P<_base>(?:.*/)?){named}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a case list says of a file.

    Attributes
    ----------
    case : str
        The case or patient, or nothing.
    modality : str
    images : tuple of str
        Paths or SeriesInstanceUIDs of the images it is the mask of; none for an image.
    labels : tuple of int
    """

    case: str = ""
    modality: str = ""
    images: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Gives headers of files without identifiers those of their place.

    Attributes
    ----------
    source : str
        Id of the archive.
    rules : sequence of MaskRule
        The first that fits counts.
    modalities : sequence of ModalityRule
        The first that fits counts; a case list counts more.
    roles : mapping of str to Role
        By path.
    """

    source: str
    rules: Sequence[MaskRule] = ()
    modalities: Sequence[ModalityRule] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)

    def __call__(self, header: Header) -> Header:
        """Return a header under its identity; one of a DICOM file stays as it is."""
        if not header.format:
            return header
        path = header.path
        stem, role = stem_of(path), self.roles.get(path, Role())
        study = ("case", role.case) if role.case else ("folder", stem.rpartition("/")[0])
        found = replace(
            header,
            study_uid=local_uid(self.source, *study),
            series_uid=self._series(path) if header.format in _VOLUMES else self._named("picture", path),
            sop_instance_uid=local_uid(self.source, "file", path),
            patient_id=role.case,
            modality=closed_modality(role.modality) or self._modality(stem) or header.modality,
        )
        images, labels = role.images, role.labels
        if not images and path not in self.roles:
            images, labels = self._by_rule(stem)
        if images and header.block is not None:
            named = {self._series(image) for image in images} | {uid for uid in map(_uid_in, images) if uid}
            found = replace(found, is_mask=True, referenced_series=tuple(sorted(named)), labels=labels)
        return found

    def _series(self, path: str) -> str:
        """Return the series of a volume; that is what masks are of."""
        return self._named("series", path)

    def _named(self, kind: str, path: str) -> str:
        return local_uid(self.source, kind, stem_of(path))

    def _modality(self, stem: str) -> str:
        return next((rule.modality for rule in self.modalities if rule.fits(stem)), "")

    def _by_rule(self, stem: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
        for rule in self.rules:
            image = rule.image_of(stem)
            if image is not None:
                return (image,), rule.labels
        return (), ()


def is_uid(name: str) -> bool:
    """Tell whether a name is a UID, as far as its form goes."""
    return _UID.fullmatch(name) is not None


def _uid_in(image: str) -> str:
    name = image.rpartition("/")[2]
    return name if is_uid(name) else ""
