"""The study's catalog, for a web browser.

::

    <project>/catalog/index.html, assets/, artwork/, README.md    the site, made once
    <project>/catalog/config.json, schema/                        its settings
    <project>/catalog/metadata/super.json                         names the study page
    <project>/catalog/metadata/<id>/latest/<3>/<29>.json          a page, one per visit
                                                                  and one for the study

    <project>/series.parquet                                      the series of all visits

A visit's series appear before its page, and that before the study page lists it: every
listed visit has them at any moment. The catalog says nothing that the metadata files and
the settings do not say: writing it again changes nothing, in batches or at once, in any
order.

Nothing here is safe against a second writer of the same study. Whoever calls
:func:`add_visits` or :func:`rebuild` holds the study's lock and lets `guard` say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from icfqueue.catalog import pages, series_file, site
from icfqueue.catalog.pages import CatalogRecord
from icfqueue.catalog.series_file import SeriesRow, Writer
from icfqueue.catalog.summary import read_summary
from icfqueue.core.errors import PermanentError, StepError, UsageError
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.options import Outcome, Results
from icfqueue.core.settings import Settings
from icfqueue.core.steps import UPDATE_CATALOG
from icfqueue.core.visit import Visit
from icfqueue.outputs import deposit, ids, metadata_files
from icfqueue.store.directory import Store
from icfqueue.store.disk import disk_trouble
from icfqueue.store.near_misses import check_folder


def add_visits(
    store: Store,
    project: str,
    visits: Iterable[Visit],
    store_url: str,
    settings: Settings,
    *,
    guard: Guard = UNGUARDED,
    vouched: bool = False,
    superdataset: bool = False,
) -> Results:
    """Write the pages of some visits and, once, the study page.

    The catalog is made when it is missing. One that is damaged, or has other ids (made
    by another tool, or for another store URL), is made anew with all visits that have
    metadata in the store directory.

    Parameters
    ----------
    visits
        All of `project`.
    store_url
        Where the datasets say the tarballs are; one study has one.
    settings
        Name, logo and colours of a new catalog.
    guard
        Asked before anything appears in the store.
    vouched
        The metadata must be there: an earlier step has written them.
    superdataset
        The study page shall offer the dataset of all visits though it may not be there
        yet: it is written next.

    Returns
    -------
    dict
        For each visit an outcome (`worked` is False if its page was there and listed)
        or its own error, which keeps no other visit from its page.

    Raises
    ------
    StepError
        The study's catalog cannot be written; concerns every visit of the batch.
    Withdrawn
        The lock was lost; the catalog is whole.
    """
    visits = sorted(set(visits))
    if not visits:
        return {}
    study = _Study(store, project, store_url, guard, vouched, superdataset)
    with disk_trouble(f"updating the catalog of {project}"):
        # Another machine may have written the study page just now: to go on from an older
        # one would lose what that one lists.
        store.look_again(study.page(study.id).parent)
        study.recover()
        entries = study.entries()
        if entries is not None:
            with suppress(series_file.Damaged):
                return study.extend(visits, entries)
        there = study.exists()
        kept = study.kept() if there else {}
        here = metadata_files.visits_here(store, project) if there else []
        wanted = [visit for visit in sorted({*visits, *here}) if visit not in kept]
        results = study.write_whole(wanted, kept, settings)
        return {visit: results.get(visit, Outcome(worked=False)) for visit in visits}


def rebuild(
    store: Store,
    project: str,
    store_url: str,
    settings: Settings,
    guard: Guard = UNGUARDED,
    *,
    superdataset: bool = False,
) -> Results:
    """Make the whole catalog anew from the metadata files of the project.

    Visits that are gone lose their page. A visit whose metadata files were removed but
    whose deposit is there (``--remove-metadata``) keeps the page that it has.

    Parameters
    ----------
    superdataset
        As for :func:`add_visits`.

    Returns
    -------
    dict
        As :func:`add_visits`, with every visit that has metadata files.

    Raises
    ------
    UsageError
        The store directory has no folder for `project`.
    StepError, Withdrawn
        The old catalog stays.
    """
    check_folder(store, project)
    study = _Study(store, project, store_url, guard, superdataset=superdataset)
    with disk_trouble(f"writing the catalog of {project}"):
        study.recover()
        visits = metadata_files.visits_here(store, project)
        return study.write_whole(visits, study.kept(), settings)


def has_page(store: Store, visit: Visit, store_url: str) -> bool:
    """Return whether the visit has a page; cheap, does not read it."""
    study = _Study(store, visit.project, store_url, UNGUARDED)
    return store.exists(study.page(study.id_of(visit)))


def listed(store: Store, project: str, store_url: str) -> set[Visit]:
    """Return the visits on the study page: none if there is no usable catalog."""
    return set(_Study(store, project, store_url, UNGUARDED).entries() or {})


@dataclass(frozen=True, slots=True)
class _Study:
    """The catalog of one study, as it lies in the store directory."""

    store: Store
    project: str
    store_url: str
    guard: Guard
    vouched: bool = False
    superdataset: bool = False
    folder: Path = field(init=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.store.catalog_dir(self.project))
        object.__setattr__(self, "id", pages.study_id(self.store_url, self.project))

    def exists(self) -> bool:
        """Return whether a catalog is there, whole or not.

        Raises
        ------
        PermanentError
            What is there is no catalog: nothing of ours to replace.
        """
        if not self.store.listing(self.folder):
            return False
        if not self.store.is_folder(self.folder / "metadata"):
            raise PermanentError(
                f"{self.folder} is there but is no DataLad catalog",
                hint="move it away: the study's catalog is written there",
                cause="catalog",
            )
        return True

    def page(self, dataset_id: str) -> Path:
        return self.folder / pages.page_path(dataset_id)

    def id_of(self, visit: Visit) -> str:
        """Return the id of the visit's page: that of its DataLad dataset."""
        return str(ids.dataset_id(self.store_url, visit))

    def entries(self, *, earlier: bool = False) -> dict[Visit, CatalogRecord] | None:
        """Return what the study page lists, or None if the catalog cannot be used.

        Parameters
        ----------
        earlier
            A page of an earlier layout, whose site may lack files, will do.
        """
        try:
            home = json.loads(self.store.read_bytes(self.folder / site.SUPER))
            if home["dataset_id"] != self.id:
                return None
            landmarks = () if earlier else site.LANDMARKS
            if not all(self.store.exists(self.folder / name) for name in landmarks):
                return None
            page = json.loads(self.store.read_bytes(self.page(self.id)))
            found = pages.entries_of(page, earlier=earlier)
            if found is None:
                return None
            return {Visit(self.project, name): entry for name, entry in found.items()}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError, AttributeError, UsageError):
            return None

    def kept(self) -> dict[Visit, CatalogRecord]:
        """Return the entries of visits whose pages cannot be made again, and stay."""
        entries = self.entries(earlier=True) or {}
        return {visit: entries[visit] for visit in entries if self.keeps(visit, entries)}

    def recover(self) -> None:
        """Finish what a writer that died between two renames left behind."""
        self.store.recover_folder(self.folder, self._aside())

    def keeps(self, visit: Visit, entries: Mapping[Visit, CatalogRecord]) -> bool:
        """Tell whether the visit's page stays, as its metadata files were removed."""
        wanted, there = (visit.metadata_tarball, visit.metadata_dicoms), self.store.exists
        return (
            visit in entries
            and not all(there(self.store.path(visit, name)) for name in wanted)
            and there(self.store.path(visit, visit.refs))
            and there(self.page(self.id_of(visit)))
        )

    def extend(
        self, visits: Sequence[Visit], entries: dict[Visit, CatalogRecord]
    ) -> Results:
        """Write the pages of `visits` into the catalog that is there; raises Damaged."""
        results: Results = {
            visit: Outcome(worked=False) for visit in visits if self.keeps(visit, entries)
        }
        visits = [visit for visit in visits if visit not in results]
        with self.store.catalog_scratch(self.project) as scratch:
            written: list[tuple[Path, Path]] = []
            rows: dict[str, list[SeriesRow]] = {}
            listed = {visit.id for visit in entries if entries[visit].get("nr_series")}
            for visit, made in self._pages(visits, results):
                differing = self._differing(made.dataset_id, made.record, scratch)
                new = bool(differing) or entries.get(visit) != made.entry
                written += differing
                entries[visit] = made.entry
                results[visit] = Outcome(worked=new)
                if new:
                    rows[visit.id] = made.rows
            if rows:
                table = series_file.write_extended(
                    scratch, self.store, self.project, rows, listed
                )
                written.insert(0, table)
            self.store.publish_all(written, self.guard)
            study = self._differing(self.id, self._record(entries), scratch)
            self.store.publish_all(study, self.guard)
        return results

    def _record(self, entries: Mapping[Visit, CatalogRecord]) -> CatalogRecord:
        """Return the study page's record, with a clone command if there is a dataset."""
        whole = self.store.project_dir(self.project) / deposit.REFS
        url = deposit.clone_url(self.store_url, self.project)
        shown = url if self.superdataset or self.store.exists(whole) else None
        report = self.store.exists(self.folder / pages.REPORT)
        return pages.study_record(
            self.project, self.id, entries.values(), shown, report=report
        )

    def _differing(
        self, dataset_id: str, record: CatalogRecord, scratch: Path
    ) -> list[tuple[Path, Path]]:
        """Write the page of `record`, to be published; nothing if it is there already."""
        content, target = pages.encode(pages.node(record)), self.page(dataset_id)
        try:
            if self.store.read_bytes(target) == content:
                return []
        except FileNotFoundError:
            self.store.make_dir(target.parent)
        new = scratch / f"{dataset_id}.json"
        new.write_bytes(content)
        return [(new, target)]

    def write_whole(
        self,
        visits: Iterable[Visit],
        kept: Mapping[Visit, CatalogRecord],
        settings: Settings,
    ) -> Results:
        """Write a catalog of `visits` aside and put it in the place of the old one.

        Parameters
        ----------
        kept
            Entries of visits whose present pages are taken over.
        """
        self.exists()
        results: Results = {}
        entries = dict(kept)
        with self.store.catalog_scratch(self.project) as scratch:
            new, rows = scratch / "catalog", scratch / series_file.NAME
            site.make_site(
                new,
                project=self.project,
                dataset_id=self.id,
                store_url=self.store_url,
                settings=settings,
            )
            with Writer(rows) as table:
                self._take_over(kept, new, table)
                for visit, made in self._pages(visits, results):
                    _write(new, made.dataset_id, pages.encode(pages.node(made.record)))
                    table.add(made.rows)
                    entries[visit] = made.entry
                    results[visit] = Outcome(worked=True)
            if results and not entries and not self.store.exists(self.folder):
                return results  # nothing to show: all failed
            _write(new, self.id, pages.encode(pages.node(self._record(entries))))
            self.store.share_tree(new)
            table_path = series_file.path_of(self.store, self.project)
            self.store.publish(rows, table_path, self.guard)
            self.store.swap_folder(new, self.folder, self._aside(), self.guard)
        return results

    def _take_over(self, kept: Iterable[Visit], new: Path, table: Writer) -> None:
        """Put the present pages of `kept` visits into `new`, their series into `table`."""
        with suppress(FileNotFoundError):
            report = self.store.read_bytes(self.folder / pages.REPORT)
            (new / pages.REPORT).write_bytes(report)
        ids_kept = [visit.id for visit in kept]
        known = series_file.take_present(table, self.store, self.project, ids_kept)
        for visit in kept:
            dataset_id = self.id_of(visit)
            page = self.store.read_bytes(self.page(dataset_id))
            _write(new, dataset_id, page)
            if visit.id not in known:
                table.add(series_file.rows_of_page(visit, json.loads(page)))

    def _pages(
        self, visits: Iterable[Visit], results: Results
    ) -> Iterator[tuple[Visit, _Made]]:
        """Yield what stands on each visit's page; errors go into `results`."""
        for visit in visits:
            self.guard.advance()
            try:
                yield visit, self._made(visit)
            except StepError as error:
                results[visit] = error.at(
                    project=visit.project, visit=visit.id, step=UPDATE_CATALOG.name
                )

    def _made(self, visit: Visit) -> _Made:
        summary = read_summary(self.store, visit, vouched=self.vouched)
        dataset_id = self.id_of(visit)
        record = pages.visit_record(summary, dataset_id, self.store_url)
        site.check_record(record)
        entry = pages.study_entry(summary, dataset_id)
        return _Made(dataset_id, record, entry, series_file.rows_of(visit, summary.series))

    def _aside(self) -> Path:
        return self.store.catalog_work_dir(self.project) / "replaced"


@dataclass(frozen=True, slots=True)
class _Made:
    """A visit's page, its entry on the study page, its rows in the table of series."""

    dataset_id: str
    record: CatalogRecord
    entry: CatalogRecord
    rows: list[SeriesRow]


def _write(folder: Path, dataset_id: str, content: bytes) -> None:
    target = folder / pages.page_path(dataset_id)
    target.parent.mkdir(parents=True)
    target.write_bytes(content)
