// headings of a board sort its rows; without this script they stand in the order of their ranks
const value = cell => {
  const shown = (cell.querySelector("b") || cell).textContent.trim(), number = parseFloat(shown.replace("−", "-"));
  return ["", "–", "not ranked"].includes(shown) ? null : Number.isNaN(number) ? shown.toLowerCase() : number;
};
for (const table of document.querySelectorAll("table.board")) {
  const body = table.tBodies[0], headings = [...table.tHead.rows[0].cells];
  // rows that stand beside the ranking stay at the top, where they are
  const fixed = [...body.querySelectorAll("tr.dense, tr.beside")], ranked = [...body.rows].filter(row => !fixed.includes(row));
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
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
