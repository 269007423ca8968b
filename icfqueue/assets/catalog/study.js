"use strict";
/* The study's page: its visits as a list that can be filtered, sorted and paged. What is
   shown is in the address (visit, keyword, sort, page), so that it can be sent to somebody
   and Back comes back to it. */

const PER_PAGE = 50;
const SHOWN_KEYWORDS = 8;
const OFFERED_KEYWORDS = 500;

const COLUMNS = [
  { key: "visit", title: "Visit", of: (entry) => entry.dataset_path },
  { key: "series", title: "Series", of: (entry) => entry.nr_series ?? 0, number: true },
  { key: "images", title: "Images", of: (entry) => entry.nr_dicoms, number: true },
  { key: "size", title: "Size", of: (entry) => entry.tar_bytes, number: true },
];

class StudyPage {
  constructor(record, place) {
    this.base = place.base;
    this.collator = new Intl.Collator("en", { numeric: true });
    // Somebody may have added an entry by datalad-catalog, which knows no sums.
    this.entries = (record.subdatasets ?? []).map((entry) => ({
      nr_dicoms: 0,
      tar_bytes: 0,
      tar_size: "",
      keywords: [],
      ...entry,
      name: entry.dataset_path.toLowerCase(),
      words: (entry.keywords ?? []).map((word) => word.toLowerCase()),
    }));
    this.element = make(
      "div",
      {},
      make("h1", { tabindex: "-1" }, `Study ${record.name}`),
      facts([
        ["Visits", this.entries.length.toLocaleString("en")],
        ["Images", sum(this.entries, "nr_dicoms").toLocaleString("en")],
        ["Tarballs", formatBytes(sum(this.entries, "tar_bytes"))],
      ]),
      this.report(record),
      this.wholeProject(record),
      make("h2", {}, "Visits"),
      this.filters(),
      this.list(),
      this.pager(),
    );
    this.show(place.query);
  }

  /* The name of the file is known; no address is taken from the data. */
  report(record) {
    const there = (record.top_display ?? []).some((one) => one.name === "Report");
    if (!there) return null;
    return make("p", {},
      make("a", { href: "report.html" }, "Report: what the visits have, and which differ"));
  }

  wholeProject(record) {
    if (!record.url) return null;
    const store = storeOf(record.url);
    return make(
      "section",
      {},
      make("h2", {}, "Clone the whole project"),
      make("p", {}, "One dataset that has every visit in it as a subdataset, and none of " +
        "their content as yet."),
      command(cloneCommand(record.url, record.name), "clone the project", "clone_code"),
      make("p", {}, "Then get a visit's list of images (the first command, small), or its " +
        "images, too (the second, which downloads the visit's tarball):"),
      command(`cd ${record.name}\ndatalad get -n VISIT\ndatalad get VISIT`, "get a visit"),
      firstTime(store),
    );
  }

  filters() {
    const change = () => this.typed();
    this.visit = make("input", {
      id: "filter-visit", type: "search", autocomplete: "off", spellcheck: "false", oninput: change });
    this.keyword = make("input", {
      id: "filter-keyword", type: "search", autocomplete: "off", spellcheck: "false",
      list: "keywords", oninput: change });
    this.count = make("p", { class: "count", role: "status" });
    const words = new Map();
    for (const entry of this.entries) {
      for (const word of entry.keywords) words.set(word, (words.get(word) ?? 0) + 1);
    }
    const offered = [...words].sort((a, b) => b[1] - a[1]).slice(0, OFFERED_KEYWORDS);
    return make(
      "div",
      { class: "filters", role: "search", "aria-label": "Filter the visits" },
      make("label", { for: "filter-visit" }, "Visit"), this.visit,
      make("label", { for: "filter-keyword" }, "Protocol or modality"), this.keyword,
      make("datalist", { id: "keywords" }, offered.map(([word]) => make("option", { value: word }))),
      this.count,
    );
  }

  list() {
    this.heads = COLUMNS.map((column) => ({
      column,
      link: make("a", {}, column.title),
      mark: make("span", { "aria-hidden": "true" }),
    }));
    for (const head of this.heads) {
      head.cell = make("th", { scope: "col", class: head.column.number ? "number" : null },
        head.link, head.mark);
    }
    this.body = make("tbody", { id: "visits" });
    const words = make("th", { scope: "col", class: "words" }, "Protocols and modalities");
    return table("Table of visits", [...this.heads.map((head) => head.cell), words], this.body);
  }

  pager() {
    this.steps = ["First", "Previous", "Next", "Last"].map((title) => make("a", {}, title));
    this.where = make("span", {});
    this.pages = make("nav", { class: "pager", "aria-label": "Pages of the list" },
      this.steps.slice(0, 2), this.where, this.steps.slice(2));
    return this.pages;
  }

  /* Show what the address asks for. */
  show(query) {
    this.sort = query.get("sort") ?? "visit";
    this.page = Math.max(1, Number.parseInt(query.get("page"), 10) || 1);
    const given = [[this.visit, query.get("visit")], [this.keyword, query.get("keyword")]];
    for (const [input, text] of given) {
      if (input.value !== (text ?? "")) input.value = text ?? "";
    }
    this.draw();
  }

  typed() {
    this.page = 1;
    // Not a step of its own for each letter: Back leaves the page.
    history.replaceState(null, "", this.address());
    this.draw();
  }

  address(changed = {}) {
    const state = { visit: this.visit.value, keyword: this.keyword.value,
      sort: this.sort, page: this.page, ...changed };
    const query = new URLSearchParams();
    if (state.visit) query.set("visit", state.visit);
    if (state.keyword) query.set("keyword", state.keyword);
    if (state.sort !== "visit") query.set("sort", state.sort);
    if (state.page > 1) query.set("page", state.page);
    const text = query.toString();
    return this.base + (text ? `?${text}` : "");
  }

  found() {
    const name = this.visit.value.trim().toLowerCase();
    const word = this.keyword.value.trim().toLowerCase();
    const found = this.entries.filter((entry) => entry.name.includes(name) &&
      (!word || entry.words.some((one) => one.includes(word))));
    const down = this.sort.startsWith("-");
    const key = this.sort.replace("-", "");
    const column = COLUMNS.find((one) => one.key === key) ?? COLUMNS[0];
    const names = (a, b) => this.collator.compare(a.dataset_path, b.dataset_path);
    const order = column.number
      ? (a, b) => column.of(a) - column.of(b) || names(a, b)
      : names;
    return found.sort(down ? (a, b) => order(b, a) : order);
  }

  draw() {
    const found = this.found();
    const last = Math.max(1, Math.ceil(found.length / PER_PAGE));
    this.page = Math.min(this.page, last);
    const shown = found.slice((this.page - 1) * PER_PAGE, this.page * PER_PAGE);
    this.body.replaceChildren(...shown.map((entry) => this.row(entry)));
    const all = formatCount(this.entries.length, "visit");
    const some = this.visit.value.trim() || this.keyword.value.trim();
    this.count.textContent = some ? `${found.length.toLocaleString("en")} of ${all}` : all;
    this.drawHeads();
    this.pages.hidden = last === 1;
    this.where.textContent = `Page ${this.page} of ${last}`;
    const to = [1, this.page - 1, this.page + 1, last];
    this.steps.forEach((link, at) => {
      const leads = to[at] >= 1 && to[at] <= last && to[at] !== this.page;
      if (leads) link.href = this.address({ page: to[at] });
      else link.removeAttribute("href");
      link.toggleAttribute("aria-disabled", false);
      if (!leads) link.setAttribute("aria-disabled", "true");
    });
  }

  drawHeads() {
    for (const { column, cell, link, mark } of this.heads) {
      const up = this.sort === column.key;
      const down = this.sort === `-${column.key}`;
      link.href = this.address({ sort: up ? `-${column.key}` : column.key, page: 1 });
      mark.textContent = up ? " ▲" : down ? " ▼" : "";
      if (up || down) cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }
  }

  row(entry) {
    const address = `#/dataset/${entry.dataset_id}/${entry.dataset_version}`;
    const words = entry.keywords.slice(0, SHOWN_KEYWORDS).join(", ");
    const more = entry.keywords.length - SHOWN_KEYWORDS;
    return make(
      "tr",
      {},
      make("th", { scope: "row", class: "visit" }, make("a", { href: address }, entry.dataset_path)),
      make("td", { class: "number" }, entry.nr_series === undefined ? "" : String(entry.nr_series)),
      make("td", { class: "number" }, entry.nr_dicoms.toLocaleString("en")),
      make("td", { class: "number" }, entry.tar_size),
      make("td", { class: "words" }, more > 0 ? `${words} and ${more} more` : words),
    );
  }
}

function sum(entries, key) {
  return entries.reduce((total, entry) => total + entry[key], 0);
}
