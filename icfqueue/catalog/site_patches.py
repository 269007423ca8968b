"""What is changed in the page that datalad-catalog brings, and why.

The package's page loads Vue from a content delivery network, sends dataset addresses to
a public Binder service on a click, links to accounts elsewhere, asks for a file per
page that is rarely there, and shows a clone command that a shell would take apart. A
hospital's catalog must ask no other host for anything and show what is right.

Each patch names the text it expects and how often. If it is not there, the installed
package is another one than these were written for, and no catalog is made: a page that
is only half changed could talk to other hosts without anyone noticing.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from icfqueue.core.errors import PermanentError

CONTENT_SECURITY = (
    "default-src 'self'; "
    # Vue 2 compiles its templates in the browser.
    "script-src 'self' 'unsafe-eval'; "
    # The link colours are a style element, Bootstrap sets style attributes.
    "style-src 'self' 'unsafe-inline'; "
    # Icons within the templates and style sheets.
    "img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy (W3C CSP Level 3): the browser itself refuses other hosts and
inline scripts, whatever a DICOM value or a later version of the page may hold."""

UNUSED = (
    "README.md",
    "assets/display_schema.js",
    "assets/meta_entry.js",
    "templates/main-template.html",
)
"""Files that no page of ours loads; some name other hosts."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Replace a piece of a file.

    Attributes
    ----------
    file
        Path in the catalog.
    start
        The piece, or how it begins.
    new
        What stands there afterwards.
    end
        How the piece ends; empty if `start` is the whole piece.
    times
        How often it is there.
    """

    file: str
    start: str
    new: str
    end: str = ""
    times: int = 1

    def apply(self, text: str) -> str:
        """Return `text` with the piece replaced.

        Raises
        ------
        PermanentError
            The piece is not there as often as expected.
        """
        if text.count(self.start) != self.times:
            raise self._unknown()
        parts = text.split(self.start)
        for index in range(1, len(parts)):
            _, end, rest = parts[index].partition(self.end) if self.end else ("", "", "")
            if self.end and not end:
                raise self._unknown()
            parts[index] = rest if self.end else parts[index]
        return self.new.join(parts)

    def _unknown(self) -> PermanentError:
        return PermanentError(
            f"{self.file} of the installed datalad-catalog is not the known one: "
            f"{self.start.strip().splitlines()[0]!r} is not there {self.times} time(s)",
            hint="install datalad-catalog 1.1.1, which this version of icfqueue knows",
        )


def apply(site: Path, *, title: str, heading: str) -> None:
    """Patch the files of a new catalog.

    Parameters
    ----------
    site
        Folder with the files that datalad-catalog made; nobody else sees it yet.
    title
        What the browser's window shows.
    heading
        What stands beside the logo on every page.

    Raises
    ------
    PermanentError
        The files are not the known ones.
    """
    changed: dict[str, str] = {}
    for patch in (*_index(title, heading), *_SCRIPTS, *_TEMPLATE):
        text = changed.get(patch.file)
        if text is None:
            text = (site / patch.file).read_text(encoding="utf-8")
        changed[patch.file] = patch.apply(text)
    for file, text in changed.items():
        (site / file).write_text(text, encoding="utf-8")
    for file in UNUSED:
        (site / file).unlink(missing_ok=True)


def _index(title: str, heading: str) -> tuple[Patch, ...]:
    return (
        Patch(
            "index.html",
            '<script src="https://unpkg.com/vue@2.6.14/dist/vue.js"></script>',
            '<script src="assets/vue.2.6.14.min.js"></script>',
            end='<!-- <script src="assets/vue.2.6.14.min.js"></script> -->',
        ),
        Patch(
            "index.html",
            '<meta charset="utf-8" />',
            '<meta charset="utf-8" />\n'
            '    <meta http-equiv="Content-Security-Policy" '
            f'content="{CONTENT_SECURITY}" />\n'
            '    <meta name="referrer" content="no-referrer" />',
        ),
        Patch(
            "index.html",
            "<title>DataLad Catalog</title>",
            f"<title>{html.escape(title)}</title>",
        ),
        # The logo was as wide as the page, the name nowhere, beside links to DataLad's
        # accounts. v-pre: braces in a name are no template.
        Patch(
            "index.html",
            '<b-row align-v="end">',
            '<a @click="gotoHome" class="d-flex align-items-center text-reset '
            'text-decoration-none">\n'
            '          <img v-show="logo_path" :src="logo_path" alt="" '
            'style="height: 3.5rem; max-width: 50%;">\n'
            f'          <span v-pre class="h4 mb-0 ms-3">{html.escape(heading)}</span>\n'
            "        </a>",
            end="</b-row>",
        ),
    )


_SCRIPTS = (
    Patch(
        "assets/app_globals.js",
        "  social_links: {",
        "  social_links: {},",
        end="\n  },",
    ),
    # The study page has what is needed of each visit: one request instead of one each.
    Patch(
        "assets/app_globals.js",
        '      id_and_version = subds.dataset_id + "-" + subds.dataset_version;\n',
        "      if (subds.nr_dicoms !== undefined) {\n"
        "        subds_json[index] = Object.assign({\n"
        '          name: subds.dataset_path, short_name: "", doi: "", license: {},\n'
        "          authors: [], metadata_sources: { sources: [{}] },\n"
        "        }, subds);\n"
        "        return;\n"
        "      }\n",
    ),
    # Going home ended in an error on the console, because the home page sends the visitor
    # on; so did a click on the page one is on.
    Patch(
        "assets/app_router.js",
        "const router = new VueRouter({",
        "const plainPush = VueRouter.prototype.push;\n"
        "VueRouter.prototype.push = function (to) {\n"
        "  return plainPush.call(this, to).catch((error) => {\n"
        "    if (!VueRouter.isNavigationFailure(error)) throw error;\n"
        "  });\n"
        "};\n"
        "const router = new VueRouter({",
    ),
    Patch(
        "assets/app_component_dataset.js",
        "          openWithBinder(dataset_url) {",
        "",
        end="window.open(binder_url);\n          },\n",
    ),
    # Asked for a config.json per page and logged an error where there was none. What
    # it is for, the tab that opens first, is known without asking.
    Patch(
        "assets/app_component_dataset.js",
        "          dataset_config_path = metadata_dir",
        "          this.$root.selectedDataset.config = { dataset_options: {\n"
        "            default_tab: sDs.has_subdatasets ? 'subdatasets' : 'dicom' } };\n",
        end="this.$root.selectedDataset.config = config;\n          }\n",
        times=2,
    ),
    # Tab names are compared in lower case, but "DICOM" was not made lower case, and the
    # list was called by another name than it has: an address with a tab was an error.
    Patch(
        "assets/app_component_dataset.js",
        "available_tabs.push(sDs.additional_display[t].name)",
        "available_tabs.push(sDs.additional_display[t].name.toLowerCase())",
        times=2,
    ),
    # The tabs of a new page are known some time after they are drawn; until then the
    # DICOM tab could not be chosen.
    Patch(
        "assets/app_component_dataset.js",
        "          setCorrectTab(tab_param, available_tabs, default_tab) {\n",
        "          setCorrectTab(tab_param, available_tabs, default_tab, tries = 100) {\n"
        "            const drawn = this.$refs.alltabs?.tabs || [];\n"
        "            if (tries && drawn.length != available_tabs.length) {\n"
        "              setTimeout(() => this.setCorrectTab(\n"
        "                tab_param, available_tabs, default_tab, tries - 1), 20);\n"
        "              return;\n"
        "            }\n",
    ),
    Patch(
        "assets/app_component_dataset.js",
        "selectTab = tabs.indexOf(",
        "selectTab = available_tabs.indexOf(",
    ),
)

_TEMPLATE_FILE = "templates/dataset-template.html"

_TEMPLATE = (
    Patch(
        _TEMPLATE_FILE,
        '<span><b-button variant="outline-dark" size="sm" @click="openWithBinder(',
        "",
        end="Explore with Binder</b-button></span>",
    ),
    Patch(
        _TEMPLATE_FILE,
        '<a href="http://handbook.datalad.org/en/latest/intro/installation.html#install">',
        "DataLad Handbook.",
        end="</a>",
    ),
    # The address has "&", "?" and braces, which mean something to a shell, and no last
    # part that DataLad could name the folder after.
    Patch(
        _TEMPLATE_FILE,
        "datalad clone {{displayData.url}}",
        "datalad clone '{{displayData.url}}' {{selectedDataset.name}}",
    ),
    # Version, date, DOI and licence: "latest" and three times "unknown".
    Patch(
        _TEMPLATE_FILE,
        "        <!-- DATASET VERSION ETC -->",
        "",
        end="</b-card-text>\n",
    ),
    # The same for each visit on the study page; what is known is more useful.
    Patch(
        _TEMPLATE_FILE,
        "<strong>Version:</strong> {{ds.dataset_version.substring(0,7)}}&nbsp;",
        "{{ds.nr_dicoms}} DICOMs, {{ds.tar_size}}",
        end="{{getDateFromUTCseconds(ds.source_time)}}&nbsp;",
    ),
    Patch(
        _TEMPLATE_FILE,
        '<b-button pill variant="outline-dark" @click="sortByModified">',
        "",
        end="</b-button>",
    ),
    Patch(
        _TEMPLATE_FILE,
        'placeholder="Filter by dataset or author name"',
        'placeholder="Filter by visit"',
    ),
    Patch(
        _TEMPLATE_FILE,
        "There is no content available for the current dataset",
        "The files are listed in the dataset itself: clone it to see them",
    ),
    # The only place where the page would take a value for HTML.
    Patch(
        _TEMPLATE_FILE,
        'v-html="description_display"',
        'v-text="description_display"',
    ),
)
