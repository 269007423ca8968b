"use strict";
/* Elements, numbers and commands as all pages show them. Whatever comes from a file of
   metadata becomes text, never HTML: nothing here or elsewhere sets innerHTML. */

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/* As icfqueue.catalog.pages.format_bytes. */
function formatBytes(size) {
  let value = size;
  for (const unit of ["Bytes", "KB", "MB", "GB", "TB"]) {
    if (Number(value.toFixed(2)) < 1024) return `${Number(value.toFixed(2))} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(2)} PB`;
}

function formatCount(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/* Says something to those who do not see the page. */
function say(text) {
  document.getElementById("said").textContent = text;
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/* A command with a button that copies it. `what` tells it from the other ones. */
function command(text, what, id = null) {
  const code = make("code", { id }, text);
  const button = make(
    "button",
    { type: "button", "aria-label": `Copy the command: ${what}`, onclick: copy },
    "Copy",
  );
  async function copy() {
    const done = await copied(code);
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    say(done ? "Copied" : "The command is selected: copy it with Ctrl+C");
    setTimeout(() => {
      button.textContent = "Copy";
      say("");
    }, 2000);
  }
  return make("div", { class: "command" }, make("pre", {}, code), button);
}

async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    // Not there over plain HTTP, which an institute's network may well have.
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  }
}

/* Name and value pairs; those without a value are left out. */
function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null);
  return make("dl", { class: "facts" }, known.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/* A table in a frame that can be scrolled sideways, also by keyboard. */
function table(label, head, body) {
  return make(
    "div",
    { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    make("table", {}, make("thead", {}, make("tr", {}, head)), body),
  );
}
