"use strict";
/* Shows the page that the address names: #/dataset/<id>/<version>, as in datalad-catalog.
   Its data are in metadata/<id>/<version>/<3>/<29>.json, the name being the MD5 of
   "<id>-<version>". */

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const loaded = new Map();
let current = { base: null };

/* What the address asks for; null for the page that the catalog opens with. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split(/\?(.*)/s);
  const [, kind, id = "", version = ""] = path.split("/");
  const asked = { query: new URLSearchParams(query) };
  if (!kind) return { ...asked, home: true };
  if (kind !== "dataset" || !NAME.test(id) || !NAME.test(version)) return asked;
  const digest = md5(`${id}-${version}`);
  return {
    ...asked,
    base: `#/dataset/${id}/${version}`,
    file: `metadata/${id}/${version}/${digest.slice(0, 3)}/${digest.slice(3)}.json`,
  };
}

/* Asks the server whether a file has changed, but only once while the page is open. */
function load(file) {
  if (!loaded.has(file)) {
    const answer = fetch(file, { cache: "no-cache" }).then((response) => {
      if (!response.ok) throw new Error(`${file}: HTTP ${response.status}`);
      return response.json();
    });
    answer.catch(() => loaded.delete(file));
    loaded.set(file, answer);
  }
  return loaded.get(file);
}

async function show() {
  const asked = place();
  if (asked.base && asked.base === current.base) {
    current.page?.show?.(asked.query);
    return;
  }
  const before = current;
  current = { base: asked.base };
  const mine = current;
  try {
    if (asked.home) {
      const home = await load("metadata/super.json");
      const query = asked.query.toString();
      const base = `#/dataset/${home.dataset_id}/${home.dataset_version}`;
      location.replace(base + (query ? `?${query}` : ""));
      return;
    }
    if (!asked.file) throw new Error("no such address");
    const record = await load(asked.file);
    if (mine === current) draw(record, asked, before);
  } catch (error) {
    if (mine === current) missing(error);
  }
}

function draw(record, asked, before) {
  const { project, name } = document.body.dataset;
  const visit = Boolean(record.additional_display);
  if (visit) {
    put(visitPage(record, asked, project));
  } else {
    current.page = new StudyPage(record, asked);
    put(current.page.element);
  }
  document.title = visit ? `${record.name} | ${project} | ${name}` : `${record.name} | ${name}`;
  // Whoever does not see the page is told that it is another one.
  if (before.base !== null) document.querySelector("h1").focus();
}

function put(element) {
  document.getElementById("page").replaceChildren(element);
  scrollTo(0, 0);
}

function missing(error) {
  document.title = `Not found | ${document.body.dataset.name}`;
  put(make("div", {},
    make("h1", { tabindex: "-1" }, "There is no such page"),
    make("p", {}, "The visit may have been withdrawn, or the address is not whole. ",
      make("a", { href: "#/" }, "To the study")),
    make("p", { class: "aside" }, error.message)));
}

// A file may not read other files: the page says so already.
if (location.protocol !== "file:") {
  addEventListener("hashchange", show);
  show();
}
