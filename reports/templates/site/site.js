// headings of a table sort its rows; without this script they stand in the order of their ranks
const value = cell => {
  const shown = (cell.querySelector("b") || cell).textContent.trim(), number = parseFloat(shown.replace("−", "-"));
  return ["", "–", "not ranked"].includes(shown) ? null : Number.isNaN(number) ? shown.toLowerCase() : number;
};
for (const table of document.querySelectorAll("table.board, table.results")) {
  const body = table.tBodies[0], headings = [...table.tHead.rows[0].cells];
  // rows that stand beside the ranking stay at the top, where they are
  const fixed = [...body.querySelectorAll("tr.dense, tr.beside")], ranked = [...body.rows].filter(row => !fixed.includes(row));
  headings.forEach((heading, column) => {
    if (heading.textContent.trim() === "Copy") return;
    const button = make("button", { type: "button" });
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending", sign = descending ? -1 : 1;
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const keyed = ranked.map(row => [value(row.cells[column]), row]);
      // what has no value comes last in both directions
      keyed.sort(([a], [b]) => (a === null) - (b === null) || (typeof a !== typeof b ? (typeof a < typeof b ? -sign : sign) : a < b ? -sign : a > b ? sign : 0));
      body.append(...keyed.map(([, row]) => row));
    });
  });
}

// a choice hides all that bears another value of its name: rows, columns, and what the figure draws of hidden rows
const form = document.querySelector("form.filters");
const filter = () => {
  const chosen = [...new FormData(form)].filter(([, wanted]) => wanted);
  const fits = part => chosen.every(([name, wanted]) => !(name in part.dataset) || part.dataset[name].split("|").includes(wanted));
  for (const part of document.querySelectorAll("main :is([data-dataset], [data-model], [data-sparsity], [data-kind], [data-verified])")) part.hidden = !fits(part);
  for (const row of document.querySelectorAll("tr[data-criterion]")) showSeries(row.dataset.criterion, !row.hidden);
  const rows = [...document.querySelectorAll("tr[data-kind]")];
  form.querySelector("output").textContent = chosen.length ? `${rows.filter(row => !row.hidden).length} of ${rows.length} rows` : "";
};
if (form) {
  form.addEventListener("input", filter);
  filter(); // what a browser filled in again
}
