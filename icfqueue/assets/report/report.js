"use strict";
/* Filters the matrix; without it all visits are shown. */
const form = document.querySelector(".filters");
const name = document.getElementById("name");
const kind = document.getElementById("kind");
const rows = [...document.querySelectorAll(".matrix tbody tr")].map((row) => ({
  row,
  visit: row.cells[0].textContent.toLowerCase(),
  kinds: (row.dataset.kinds ?? "").split(" ").filter(Boolean),
}));

function filter() {
  const text = name.value.trim().toLowerCase();
  const wanted = kind.value;
  let shown = 0;
  for (const { row, visit, kinds } of rows) {
    const fits = visit.includes(text) &&
      (!wanted || (wanted === "any" ? kinds.length > 0 : kinds.includes(wanted)));
    row.hidden = !fits;
    shown += fits;
  }
  const visits = rows.length === 1 ? "visit" : "visits";
  document.getElementById("count").textContent =
    `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} ${visits}`;
}

/* Of many visits those are looked for that differ; all are there by a choice. */
const MANY = 100;
if (rows.length > MANY && rows.some(({ kinds }) => kinds.length)) kind.value = "any";

form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
name.addEventListener("input", filter);
kind.addEventListener("change", filter);
filter();
