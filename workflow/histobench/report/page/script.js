"use strict";
// Makes tables sortable with a button in each head, and hints at what is out of sight. The page can be read without JavaScript.
const collator = new Intl.Collator("en", { numeric: true });

function key(row, column) {
  const cell = row.cells[column];
  const value = cell.querySelector("data");
  return (value ? value.value : cell.textContent).trim();
}

function compare(one, other) {
  const numbers = [Number(one), Number(other)];
  return numbers.some(Number.isNaN) ? collator.compare(one, other) : numbers[0] - numbers[1];
}

function sort(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head, place) =>
    head.setAttribute("aria-sort", place !== column ? "none" : down ? "descending" : "ascending"));
  const body = table.tBodies[0];
  const blank = (text) => text === "" || text === "–";
  const rows = [...body.rows].map((row) => [key(row, column), row]);
  rows.sort(([one], [other]) =>
    blank(one) || blank(other) ? blank(one) - blank(other) : (down ? -1 : 1) * compare(one, other));
  body.append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table")) {
  if (table.tBodies[0].rows.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, column));
    head.append(button);
    head.setAttribute("aria-sort", "none");
  });
}

for (const form of document.querySelectorAll("form.filter")) {
  const rows = [...document.querySelectorAll("#claims table.cards tbody tr")];
  const choose = () => {
    const wanted = [...form.querySelectorAll("select")].filter((select) => select.value);
    for (const row of rows) {
      row.hidden = wanted.some((select) => row.dataset[select.dataset.filter] !== select.value);
    }
    form.querySelector("output").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", choose);
  form.hidden = false;
  choose();
}

// Says of a box that is wider than the window that it can be scrolled, and on which side there is more.
for (const box of document.querySelectorAll(".scroll")) {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.textContent = "Wider than the window: scroll sideways →";
  box.before(hint);
  const tell = () => {
    const rest = box.scrollWidth - box.clientWidth;
    hint.hidden = rest < 2;
    box.classList.toggle("more", box.scrollLeft < rest - 1);
    box.classList.toggle("scrolled", box.scrollLeft > 0);
  };
  box.addEventListener("scroll", tell, { passive: true });
  new ResizeObserver(tell).observe(box);
}
