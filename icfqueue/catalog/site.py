"""The catalog's own files: everything but the pages of the study and its visits."""

from __future__ import annotations

import functools
import importlib.util
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

from icfqueue.catalog import site_patches
from icfqueue.catalog.pages import VERSION, CatalogRecord, encode
from icfqueue.core.errors import PermanentError
from icfqueue.core.settings import Settings
from icfqueue.remote import quiet_datalad

OUR_LOGO = Path(__file__).parents[1] / "assets" / "logo.svg"

LOGO_TYPES = (".svg", ".png", ".jpg", ".jpeg")

SUPER = Path("metadata", "super.json")
"""Names the page that the catalog opens with."""

LANDMARKS = (
    "index.html",
    "config.json",
    "assets/app.js",
    "templates/dataset-template.html",
)
"""Files without which no page opens."""


def make_site(folder: Path, *, project: str, dataset_id: str, settings: Settings) -> None:
    """Make a catalog without pages in `folder`, which does not exist yet.

    Parameters
    ----------
    folder
        In the project's work folder: nobody sees it before it is whole.
    dataset_id
        Of the study page, which the catalog will open with.
    settings
        Name, logo and link colours.

    Raises
    ------
    PermanentError
        The logo cannot be used, or datalad-catalog is another one than is known.
    """
    given = folder.with_name("config")
    given.mkdir()
    logo = _logo(settings)
    shutil.copyfile(logo, given / f"logo{logo.suffix.lower()}")
    config = _config(settings, logo_name=f"logo{logo.suffix.lower()}")
    (given / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with warnings.catch_warnings():
        # datalad-catalog 1.1 uses jsonschema.RefResolver, which warns of its end.
        warnings.simplefilter("ignore", DeprecationWarning)
        quiet_datalad.prepare()
        from datalad_catalog.webcatalog import WebCatalog

        catalog = WebCatalog(location=str(folder))
        catalog.create(config_file=str(given / "config.json"))
    heading = f"{settings.catalog_name}: {project}"
    site_patches.apply(
        folder, title=f"{project} | {settings.catalog_name}", heading=heading
    )
    (folder / SUPER).write_bytes(
        encode({"dataset_id": dataset_id, "dataset_version": VERSION})
    )


def _logo(settings: Settings) -> Path:
    logo = settings.catalog_logo or OUR_LOGO
    if logo.suffix.lower() not in LOGO_TYPES:
        raise PermanentError(
            f"the catalog's logo {logo} is no {', '.join(LOGO_TYPES)}",
            hint="name another file in catalog_logo",
        )
    if not logo.is_file():
        raise PermanentError(
            f"the catalog's logo {logo} is not there",
            hint="put it there for every worker, or name another file in catalog_logo",
        )
    return logo


def _config(settings: Settings, *, logo_name: str) -> dict[str, Any]:
    """Return the package's own configuration with ours over it."""
    given: dict[str, Any] = json.loads(
        (_package() / "config" / "config.json").read_text(encoding="utf-8")
    )
    return {
        **given,
        "catalog_name": settings.catalog_name,
        "logo_path": logo_name,
        "link_color": settings.catalog_link_color,
        "link_hover_color": settings.catalog_link_hover_color,
        "social_links": dict.fromkeys(given["social_links"]),
        "dataset_options": {"include_metadata_export": settings.catalog_export},
    }


def check_record(record: CatalogRecord) -> None:
    """Check a page's record against the JSON schema of datalad-catalog.

    Raises
    ------
    PermanentError
        It does not fit; the message names the property, not its value.
    """
    error = next(_validator().iter_errors(record), None)
    if error is not None:
        where = "/".join(str(part) for part in error.absolute_path) or "the record"
        raise PermanentError(
            f"the catalog's schema does not allow {where} ({error.validator})",
            hint="look at the visit's metadata files, or make them anew with --force",
        )


@functools.cache
def _validator() -> Any:
    """Return a validator made of the package's schema files.

    The package's own one is not used: it takes 0.7 s to import and a deprecated class.
    """
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    schemas = {
        schema["title"]: schema
        for path in (_package() / "catalog" / "schema").glob("*.json")
        for schema in [json.loads(path.read_text(encoding="utf-8"))]
    }
    registry: Registry[Any] = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()]
    )
    return Draft202012Validator(schemas["catalog"], registry=registry)


def _package() -> Path:
    """Return the folder of the installed datalad-catalog without importing it."""
    found = importlib.util.find_spec("datalad_catalog")
    if found is None or not found.submodule_search_locations:
        raise PermanentError(
            "datalad-catalog is not installed", hint="pip install datalad-catalog"
        )
    return Path(found.submodule_search_locations[0])
