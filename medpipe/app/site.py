"""The site: where things are and how much of the machine may be used. Never part of a key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from medpipe.errors import ConfigError
from medpipe.recipe.recipe import checked


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Limits(_Table):
    """What one case may cost."""

    case_s: float = Field(default=900.0, gt=0, description="seconds a case may take")
    memory_mb: int | None = Field(default=None, gt=0, description="memory of the host for cases; default 80 %")
    file_mb: int = Field(default=4096, gt=0, description="largest file that is read")


class Cluster(_Table):
    """A Dask cluster to use instead of a local one."""

    address: str = Field(description="scheduler, such as tls://host:8786")
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class Site(_Table):
    """A site file, or its defaults."""

    engine: Literal["dask", "serial"] = "dask"
    workers: int | None = Field(default=None, ge=1, description="cases at a time; default one per core")
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    privacy: Literal["pseudonymized", "identified"] | None = None
    key_file: Path | None = Field(default=None, description="secret key; default $XDG_CONFIG_HOME/medpipe/key")
    limits: Limits = Limits()
    cluster: Cluster | None = None


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
            tables[name] = Path(tables[name]).expanduser()
    if isinstance(tables.get("cluster"), dict):
        for name in ("tls_ca", "tls_cert", "tls_key"):
            if isinstance(tables["cluster"].get(name), str):
                tables["cluster"][name] = Path(tables["cluster"][name]).expanduser()
    return checked(Site, tables, "site")
