"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const element = (tag, properties) => Object.assign(document.createElement(tag), properties);

// What folds is written open: without this script the page reads whole, and it prints whole.
let folded = all("details");
const fold = () => folded.forEach(each => { each.open = false; });
fold();
addEventListener("beforeprint", () => {
  folded = all("details:not([open])");
  folded.forEach(each => { each.open = true; });
});
addEventListener("afterprint", fold);

// A link opens what it leads to.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let each = target?.querySelector("details") ?? target; each; each = each.parentElement) {
    if (each.tagName === "DETAILS") each.open = true;
  }
  target?.scrollIntoView();
}
addEventListener("hashchange", reveal);
addEventListener("click", event => { if (event.target.closest?.("a[href^='#']")) setTimeout(reveal); });
reveal();

// The index follows the scroll.
const links = all("nav a");
function follow() {
  const above = links.filter(link => document.querySelector(link.hash).getBoundingClientRect().top < innerHeight / 3);
  const current = above.at(-1) ?? links[0];
  for (const link of links) link.toggleAttribute("aria-current", link === current);
}
addEventListener("scroll", follow, { passive: true });
addEventListener("toggle", follow, true);
follow();

// Long tables are sorted by a click on a column's title, and filtered by typing.
const LONG = 8;
for (const table of all("main table")) {
  const rows = all("tbody tr:not(.total)", table);
  if (rows.length < LONG) continue;
  const box = element("input", { type: "search", placeholder: `Filter ${rows.length} rows`, ariaLabel: "Filter rows" });
  box.addEventListener("input", () => {
    const wanted = box.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  table.parentElement.before(box);
  if (table.querySelector("[scope=rowgroup]")) continue;
  for (const head of all("thead th", table)) {
    const button = element("button", { type: "button", title: "Sort by this column" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, rows, head));
  }
}

function sort(table, rows, head) {
  const value = row => {
    const cell = row.cells[head.cellIndex];
    const figure = head.cellIndex ? cell.querySelector("data") : null;
    return figure ? Number(figure.value) : head.cellIndex && cell.querySelector(".empty") ? null : cell.textContent;
  };
  const numbers = rows.some(row => typeof value(row) === "number");
  const before = head.ariaSort ?? (numbers ? "ascending" : "descending");
  const sign = before === "ascending" ? -1 : 1;
  for (const other of all("th", table)) other.ariaSort = null;
  head.ariaSort = sign === 1 ? "ascending" : "descending";
  const compare = (a, b) => (typeof a === "string" || typeof b === "string"
    ? String(a).localeCompare(String(b), "en", { numeric: true }) : a - b);
  rows.sort((first, second) => {
    const [a, b] = [value(first), value(second)];
    return a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b);
  });
  table.tBodies[0].prepend(...rows);
}

// Commands are copied by a button.
for (const text of all("pre")) {
  const button = element("button", { type: "button", className: "copy", textContent: "Copy" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  });
  text.before(button);
}
