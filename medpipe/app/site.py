"""The site: where things are, what their names say, how much of the machine may be used. Never part of a key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from medpipe.archive.other.identity import MaskRule, ModalityRule
from medpipe.errors import ConfigError
from medpipe.lake.retention import Retention
from medpipe.recipe.checking import checked

_Count = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Limits(_Table):
    """What one case may cost."""

    case_s: float = Field(default=900.0, gt=0, description="seconds a case may take")
    memory_mb: int | None = Field(default=None, gt=0, description="memory of the host for cases; default 80 %")
    sandbox_mb: int | None = Field(default=None, gt=0, description="memory one case may have; default all of it")
    file_mb: int = Field(default=4096, gt=0, description="largest file that is read")


class Gpu(_Table):
    """What cases may have of a CUDA device, and what becomes of those it has too little memory for."""

    memory_mb: int | None = Field(default=None, gt=0, description="memory of the device for cases; default 80 %")
    fallback: bool | None = Field(
        default=None,
        description="whether a case it has too little memory for goes to the CPU; default with device auto only",
    )

    @property
    def memory_bytes(self) -> int | None:
        """Memory of the device for cases; None where it is not given."""
        return None if self.memory_mb is None else self.memory_mb << 20


class MaskRuleTable(_Table):
    """Which files are masks of which images, by their names; for files other than DICOM."""

    mask: str = Field(description="end of a mask's path without its ending, such as {stem}_mask or labels/{stem}")
    image: str = Field(default="{stem}", description="path of its image, from the same place on; or its series UID")
    labels: list[int] = Field(default=[], description="values that are regions; default all but 0")

    def rule(self) -> MaskRule:
        """Return the table as a rule; raises ``ConfigError`` if it makes no sense."""
        return MaskRule(self.mask, self.image, self.labels)


class ModalityTable(_Table):
    """Of which modality files are, by their names; for files other than DICOM."""

    path: str = Field(description="end of an image's path without its ending, such as ct/{stem}")
    modality: str = Field(description="CT, MR, PT, ...")


class Cluster(_Table):
    """A Dask cluster to use instead of a local one."""

    address: str = Field(description="scheduler, such as tls://host:8786")
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class RetentionTable(_Table):
    """What `medpipe gc` may let go beside what nothing reaches; nothing by default."""

    snapshots: _Count | Literal["all"] = Field(default="all", description="newest snapshots kept, per recipe")
    days: int | None = Field(
        default=None, ge=0, le=365250, description="snapshots younger than this are kept whatever their number"
    )
    runs: _Count | Literal["all"] = Field(default="all", description="newest run folders kept")
    superseded_volumes: Literal["keep", "drop"] = Field(
        default="keep", description="stored volumes that no kept snapshot reaches; they can be made again"
    )
    superseded_results: Literal["keep", "drop"] = Field(
        default="keep", description="results that no kept snapshot reaches; kept, they spare work if a file comes back"
    )

    def rules(self) -> Retention:
        """Return the table as the rules that gc works by."""
        return Retention(
            snapshots=None if self.snapshots == "all" else self.snapshots,
            days=self.days,
            runs=None if self.runs == "all" else self.runs,
            keep_superseded_volumes=self.superseded_volumes == "keep",
            keep_superseded_results=self.superseded_results == "keep",
        )


class Site(_Table):
    """A site file, or its defaults."""

    engine: Literal["dask", "serial"] = "dask"
    workers: int | None = Field(default=None, ge=1, le=4096, description="cases at a time; default one per core")
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    privacy: Literal["pseudonymized", "identified"] | None = None
    key_file: Path | None = Field(default=None, description="secret key; default $XDG_CONFIG_HOME/medpipe/key")
    deletions_share: float = Field(
        default=0.01, ge=0, le=1, description="share of an archive's files that may be gone before a scan asks"
    )
    limits: Limits = Limits()
    gpu: Gpu = Gpu()
    retention: RetentionTable = RetentionTable()
    cluster: Cluster | None = None
    masks: list[MaskRuleTable] = Field(default=[], description="masks beside images")
    modalities: list[ModalityTable] = Field(default=[], description="what images are that do not say so")

    @property
    def permits_cpu(self) -> bool:
        """Whether a case may go to the CPU that a device has too little memory for."""
        return self.device == "auto" if self.gpu.fallback is None else self.gpu.fallback

    def mask_rules(self) -> tuple[MaskRule, ...]:
        """Return the rules for masks; the first that fits a file counts."""
        return tuple(table.rule() for table in self.masks)

    def modality_rules(self) -> tuple[ModalityRule, ...]:
        """Return the rules for modalities; the first that fits a file counts."""
        return tuple(ModalityRule(table.path, table.modality) for table in self.modalities)


def load_site(path: Path | None) -> Site:
    """Read a site file; without one, the defaults.

    Raises
    ------
    ConfigError
        If the file is missing or a field is wrong; the message names the path.
    """
    if path is None:
        return Site()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"site {path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"site {path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"site {path}: not valid TOML: {error}") from None
    for name in ("key_file",):
        if isinstance(tables.get(name), str):
            tables[name] = Path(tables[name]).expanduser().absolute()
    if isinstance(tables.get("cluster"), dict):
        for name in ("tls_ca", "tls_cert", "tls_key"):
            if isinstance(tables["cluster"].get(name), str):
                tables["cluster"][name] = Path(tables["cluster"][name]).expanduser().absolute()
    site = checked(Site, tables, "site")
    site.mask_rules()
    site.modality_rules()
    return site
