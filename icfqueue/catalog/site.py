"""The catalog's own files: everything but the data of the study and its visits.

The pages are ours, the layout of their data datalad-catalog's. That package's own pages
load Vue from a content delivery network, offer a public Binder service, show every visit
at once and redraw all of them at each letter of a filter (7 s at 1,500 visits).
"""

from __future__ import annotations

import functools
import html
import importlib.util
import json
import shutil
from pathlib import Path
from string import Template
from typing import Any

from icfqueue.catalog import link_colors
from icfqueue.catalog.pages import VERSION, CatalogRecord, encode
from icfqueue.core.errors import PermanentError
from icfqueue.core.settings import Settings

OUR_FILES = Path(__file__).parents[1] / "assets"

OUR_LOGO = OUR_FILES / "logo.svg"

LOGO_TYPES = (".svg", ".png", ".jpg", ".jpeg")

CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy (W3C CSP Level 3): the browser itself refuses other hosts and
inline scripts, whatever a DICOM value or a later version of the page may hold."""

SUPER = Path("metadata", "super.json")
"""Names the page that the catalog opens with."""

MD5 = "md5-2.3.0.js"
"""Of datalad-catalog: a page's file is named by the MD5 of its address."""

ASSETS = ("app.js", "dom.js", "first_time.js", "study.js", "visit.js", "pages.css")
"""Ours, in the folder ``assets``."""

LANDMARKS = (
    "index.html",
    "config.json",
    *(f"assets/{name}" for name in (*ASSETS, MD5, "colors.css")),
)
"""Files without which no page opens."""


def make_site(
    folder: Path, *, project: str, dataset_id: str, store_url: str, settings: Settings
) -> None:
    """Make a catalog without pages in `folder`, which does not exist yet.

    Parameters
    ----------
    folder
        In the project's work folder: nobody sees it before it is whole.
    dataset_id
        Of the study page, which the catalog will open with.
    store_url
        Named in the catalog's README.
    settings
        Name, logo and link colors.

    Raises
    ------
    PermanentError
        The logo cannot be used, or datalad-catalog is another one than is known.
    """
    logo = _logo(settings)
    logo_path = f"artwork/logo{logo.suffix.lower()}"
    assets = folder / "assets"
    for made in (folder, assets, folder / "artwork", folder / "metadata"):
        made.mkdir()
    shutil.copyfile(logo, folder / logo_path)
    for name in ASSETS:
        shutil.copyfile(OUR_FILES / "catalog" / name, assets / name)
    shutil.copyfile(_of_package("assets", MD5), assets / MD5)
    (assets / "colors.css").write_text(link_colors.style_sheet(settings), encoding="utf-8")
    shutil.copytree(_of_package("schema"), folder / "schema", copy_function=shutil.copyfile)
    (folder / "index.html").write_text(_index(project, logo_path, settings), "utf-8")
    readme = Template((OUR_FILES / "catalog" / "README.md").read_text("utf-8"))
    text = readme.substitute(project=project, store=store_url)
    (folder / "README.md").write_text(text, "utf-8")
    config = json.dumps(_config(settings, logo_path=logo_path))
    (folder / "config.json").write_text(config, "utf-8")
    (folder / SUPER).write_bytes(
        encode({"dataset_id": dataset_id, "dataset_version": VERSION})
    )


def _index(project: str, logo_path: str, settings: Settings) -> str:
    """Return the one page that shows all others; names in it are text."""
    given = {
        "policy": CONTENT_SECURITY,
        "title": f"{project} | {settings.catalog_name}",
        "name": settings.catalog_name,
        "project": project,
        "logo": logo_path,
        "export": "yes" if settings.catalog_export else "no",
    }
    page = Template((OUR_FILES / "catalog" / "index.html").read_text("utf-8"))
    return page.substitute({name: html.escape(text) for name, text in given.items()})


def _logo(settings: Settings) -> Path:
    logo = settings.catalog_logo or OUR_LOGO
    if logo.suffix.lower() not in LOGO_TYPES:
        raise PermanentError(
            f"the catalog's logo {logo} is no {', '.join(LOGO_TYPES)}",
            hint="name another file in catalog_logo",
            cause="catalog",
        )
    if not logo.is_file():
        raise PermanentError(
            f"the catalog's logo {logo} is not there",
            hint="put it there for every worker, or name another file in catalog_logo",
            cause="catalog",
        )
    return logo


def _config(settings: Settings, *, logo_path: str) -> dict[str, Any]:
    """Return the package's own configuration with ours over it."""
    given: dict[str, Any] = json.loads(
        (_package() / "config" / "config.json").read_text("utf-8")
    )
    return {
        **given,
        "catalog_name": settings.catalog_name,
        "logo_path": logo_path,
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
            hint="look at the visit's metadata files, or make them anew: 'icfqueue run "
            "PROJECT VISIT --force'",
            cause="metadata",
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
        for path in _of_package("schema").glob("*.json")
        for schema in [json.loads(path.read_text(encoding="utf-8"))]
    }
    registry: Registry[Any] = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()]
    )
    return Draft202012Validator(schemas["catalog"], registry=registry)


def _of_package(*parts: str) -> Path:
    """Return a file or folder of the catalogs that datalad-catalog makes.

    Raises
    ------
    PermanentError
        The installed one does not have it.
    """
    found = _package().joinpath("catalog", *parts)
    if not found.exists():
        raise PermanentError(
            f"the installed datalad-catalog has no {'/'.join(parts)}",
            hint="pip install 'datalad-catalog>=1.1.1,<1.2'",
            cause="setup",
        )
    return found


def _package() -> Path:
    """Return the folder of the installed datalad-catalog without importing it."""
    found = importlib.util.find_spec("datalad_catalog")
    if found is None or not found.submodule_search_locations:
        raise PermanentError(
            "datalad-catalog is not installed",
            hint="pip install datalad-catalog",
            cause="setup",
        )
    return Path(found.submodule_search_locations[0])
