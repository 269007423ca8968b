"""What a site can set, from one place and checked once.

Command line options come first, then the environment (``ICFQUEUE_…``), then
``icfqueue.toml`` in the current folder (or the file that ``ICFQUEUE_CONFIG`` names),
then the user's own ``icfqueue.toml`` in the platform's configuration folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from icfqueue.errors import UsageError

STALL = {
    "fetch": 300.0,
    "index_tar": 600.0,
    "write_json": 300.0,
    "export_repo": 900.0,
    "update_catalog": 600.0,
    "cleanup": 300.0,
}
"""Seconds that each step may go without progress, unless set otherwise."""

CONFIG_FILE = "icfqueue.toml"
CONFIG_VARIABLE = "ICFQUEUE_CONFIG"


class Settings(BaseSettings):
    """All settings, frozen. Times are seconds, sizes bytes."""

    model_config = SettingsConfigDict(
        env_prefix="ICFQUEUE_", frozen=True, extra="forbid", allow_inf_nan=False
    )

    store_dir: Path = Field(default=Path(), description="the store directory")
    store_url: str = Field(
        default="https://data.inm-icf.de", description="where the store is on the web"
    )
    broker_url: SecretStr | None = Field(
        default=None, description="Redis or Valkey; without it the embedded server"
    )
    broker_password: SecretStr | None = Field(
        default=None, description="put into broker_url, so that it can stay elsewhere"
    )
    broker_ca_file: Path | None = Field(
        default=None, description="certificate authority of a rediss:// broker"
    )
    credential: str | None = Field(
        default=None, description="name of the DataLad credential for the store"
    )

    max_attempts: int = Field(default=5, ge=1, description="tries of a step, in all")
    retry_base: float = Field(default=10.0, gt=0, description="wait before the first retry")
    retry_cap: float = Field(default=1800.0, gt=0, description="longest wait for a retry")
    max_crashes: int = Field(default=3, ge=1, description="workers a visit may take down")
    lease: float = Field(default=30.0, ge=1, description="trust in a silent worker")
    stall: dict[str, float] = Field(
        default=STALL, description="longest time without progress, per step"
    )
    grace: float = Field(default=20.0, ge=0, description="left to a step at a stop")
    disk_pause: float = Field(default=60.0, gt=0, description="rest on disk trouble")
    store_pause: float = Field(default=60.0, gt=0, description="rest when the store fails")
    store_faults: int = Field(
        default=5, ge=1, description="faults in a row before that rest"
    )
    connect_timeout: float = Field(default=20.0, gt=0, description="to the store")
    read_timeout: float = Field(default=60.0, gt=0, description="between two reads of it")
    keep_free: int = Field(
        default=1 << 30, ge=0, description="bytes that a download leaves free"
    )

    catalog_name: str = Field(default="ICF study catalog", description="above every page")
    catalog_logo: Path | None = Field(default=None, description="an SVG or PNG file")
    catalog_link_color: str = Field(default="#007eb1", pattern=r"^#[0-9a-fA-F]{6}$")
    catalog_link_hover_color: str = Field(default="#023d6b", pattern=r"^#[0-9a-fA-F]{6}$")
    catalog_gather: float = Field(
        default=2.0,
        ge=0,
        description="longest wait of a finished visit for its study page",
    )
    catalog_export: bool = Field(
        default=True, description="offer each page's metadata for download"
    )

    @field_validator("store_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with https:// or http://")
        if any(sign.isspace() or sign in "?#" for sign in value):
            raise ValueError("must not have a space, '?' or '#' in it")
        if "@" in urlsplit(value).netloc:
            raise ValueError("must not have a user or password in it; DataLad has those")
        return value.rstrip("/")

    @field_validator("stall")
    @classmethod
    def _every_step(cls, value: dict[str, float]) -> dict[str, float]:
        """Keep the defaults of the steps that are not named."""
        unknown = ", ".join(sorted(set(value) - set(STALL)))
        if unknown:
            raise ValueError(f"there is no step {unknown}")
        if min(value.values(), default=1.0) <= 0:
            raise ValueError("must be greater than 0")
        return STALL | value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, environment and TOML files, in this order."""
        files = [_File(settings_cls, path) for path in config_files()]
        return (init_settings, env_settings, *files)


class _File(TomlConfigSettingsSource):
    """Settings in a file; ``broker`` is called as the option is."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        try:
            found = super()._read_file(file_path)
        except (OSError, ValueError) as error:
            raise UsageError(f"{file_path} cannot be read: {error}") from None
        if "broker" in found:
            found["broker_url"] = found.pop("broker")
        return found


def config_files() -> list[Path]:
    """Return the settings files that exist, the more important one first.

    Raises
    ------
    UsageError
        ``ICFQUEUE_CONFIG`` names a file that is not there.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise UsageError(f"{CONFIG_VARIABLE} names {named}, which is not there")
    first = Path(named) if named else Path(CONFIG_FILE)
    user = platformdirs.user_config_path("icfqueue") / CONFIG_FILE
    return [path for path in (first, user) if path.is_file()]


def load(**given: Any) -> Settings:
    """Return the settings of this process.

    Parameters
    ----------
    given
        Options of the command line; those that are None were not given.

    Raises
    ------
    UsageError
        A setting is unknown or has a value that cannot be used. Values are not shown:
        one of them may be a password.
    """
    try:
        return Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"setting {name}: {first['msg']}",
            hint=f"look at the options, at ICFQUEUE_{name.upper()} and at {CONFIG_FILE}",
        ) from None
    except SettingsError as error:
        # Only the setting's name is told: the error's cause has the value.
        raise UsageError(
            f"the environment has a setting that is no JSON: {error}",
            hint="for example ICFQUEUE_STALL='{\"fetch\": 600}'",
        ) from None
