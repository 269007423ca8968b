"use strict";
/* A visit's page: its series, how to clone it, and its tarball at the store. */

const TAG_TITLES = {
  SeriesNumber: "Number",
  SeriesDescription: "Description",
  ProtocolName: "Protocol",
  Modality: "Modality",
  Images: "Images",
  Bytes: "Size",
};
const NUMBERS = new Set(["SeriesNumber", "Images", "Bytes"]);
const WIDE = new Set(["SeriesDescription", "ProtocolName"]);

function visitPage(record, place, study) {
  const shown = Object.fromEntries(
    record.additional_display.map(({ name, content }) => [name, content]));
  const top = Object.fromEntries((record.top_display ?? []).map(({ name, value }) => [name, value]));
  const images = top["Nr of DICOMs"] ?? 0;
  const size = top["TAR file size"];
  return make(
    "div",
    {},
    make("nav", { "aria-label": "Where you are", class: "trail" },
      make("a", { href: "#/" }, `Study ${study}`), " › ", record.name),
    make("h1", { tabindex: "-1" }, `Visit ${record.name}`),
    facts([
      ["Series", shown.Series ? shown.Series.total.toLocaleString("en") : null],
      ["Images", images.toLocaleString("en")],
      ["Tarball", size],
    ]),
    seriesTable(shown.Series),
    cloneSection(record, size),
    tarballSection(shown.Tarball, record),
    tagSection(shown.DICOM),
    keywordSection(record.keywords ?? []),
    exportLink(record, place),
  );
}

function seriesTable(series) {
  if (!series || !series.rows.length) return null;
  const kind = (name) => NUMBERS.has(name) ? "number" : WIDE.has(name) ? "wide" : null;
  const head = series.columns.map((name) =>
    make("th", { scope: "col", class: kind(name) }, TAG_TITLES[name] ?? name));
  const rows = series.rows.map((row) => make("tr", {}, row.map((value, at) => {
    const name = series.columns[at];
    const text = name === "Bytes" ? formatBytes(value)
      : name === "Images" ? value.toLocaleString("en") : String(value);
    return make("td", { class: kind(name) }, text);
  })));
  const left = series.total - series.rows.length;
  return make(
    "section",
    {},
    make("h2", {}, "Series"),
    table("Table of series", head, make("tbody", { id: "series" }, rows)),
    left > 0 ? make("p", {}, `and ${formatCount(left, "more", "more")}`) : null,
  );
}

function cloneSection(record, size) {
  const store = storeOf(record.url);
  return make(
    "section",
    {},
    make("h2", {}, "Clone with DataLad"),
    make("p", {}, "The clone has each image's path, size, MD5 and DICOM tags, but not the " +
      "images: it is small, however large the tarball."),
    command(cloneCommand(record.url, record.name), "clone the visit", "clone_code"),
    make("p", {}, `Then get images: all as here, or name folders and files. DataLad `,
      make("strong", {}, `downloads the whole tarball, ${size}`),
      ", before it unpacks the first one; further ones come from it. Where the program " +
      "icfqueue is installed, too, begin the command above with ",
      make("code", {}, "icfqueue clone"), " instead of ", make("code", {}, "datalad clone"),
      ": then each image comes by itself."),
    command(`cd ${record.name}\ndatalad get .`, "get the images"),
    firstTime(store),
  );
}

function tarballSection(tarball, record) {
  if (!tarball) return null;
  const name = tarball.url.split("/").pop();
  return make(
    "section",
    {},
    make("h2", {}, "Download without DataLad"),
    make("p", {}, "At the store, which asks for your user name and password:"),
    make("ul", {},
      make("li", {}, make("a", { href: webAddress(tarball.url), rel: "noreferrer" }, name),
        `, ${formatBytes(tarball.bytes)}`),
      make("li", {},
        make("a", { href: webAddress(`${tarball.url}.md5sum`), rel: "noreferrer" }, `${name}.md5sum`),
        ", the checksum that the archive gave")),
    make("p", {}, "Its MD5 when the dataset of ", record.name, " was made: ",
      make("code", { id: "md5" }, tarball.md5)),
  );
}

function tagSection(tags) {
  if (!tags) return null;
  const rows = Object.entries(tags).map(([name, values]) => make("tr", {},
    make("th", { scope: "row" }, name),
    make("td", {}, values ? [].concat(values).join(", ") : "not specified")));
  return make("details", { id: "tags" },
    make("summary", {}, "All values of the tags that can be searched for"),
    table("Table of tags", [make("th", { scope: "col" }, "Tag"), make("th", { scope: "col" }, "Values")],
      make("tbody", {}, rows)));
}

function keywordSection(keywords) {
  if (!keywords.length) return null;
  return make("section", {},
    make("h2", {}, "Other visits with the same protocol or modality"),
    make("ul", { class: "chips" }, keywords.map((word) => make("li", {},
      make("a", { href: `#/?${new URLSearchParams({ keyword: word })}` }, word)))));
}

function exportLink(record, place) {
  if (document.body.dataset.export !== "yes") return null;
  return make("p", {}, make("a", { href: place.file, download: `${record.name}.json` },
    "What this page says, as JSON"));
}

/* The address of a deposit is datalad-annex::?…&url=<store>/<project>/…{{annex_key}}. */
function storeOf(cloneUrl) {
  return /[?&]url=([^&]*)/.exec(cloneUrl)?.[1] ?? "";
}

function cloneCommand(url, folder) {
  return `datalad clone ${shellQuoted(url)} ${folder}`;
}

/* No address but one of the web becomes a link. */
function webAddress(url) {
  return /^https?:\/\//i.test(url) ? url : null;
}
