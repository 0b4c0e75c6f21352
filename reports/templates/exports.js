// what the table shows, in its order, as a file: CSV and JSON with all that is known, LaTeX with the columns on the page

// a cell that a spreadsheet would run as a formula gets a quote mark
const quoted = value => {
  const text = value === null || value === undefined ? "" : typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const described = cell => ({
  dataset: cell.dataset, model: cell.model, criterion: cell.criterion, ...(study.ablated ? { ablation: cell.ablation } : {}),
  sparsity: cell.sparsity, seed: cell.seed, status: cell.status, kind: cell.kind, message: cell.message,
  ...(study.data.studies.length ? { study: cell.from } : {}),
});
const asCsv = rows => {
  const lines = rows.map(c => [...Object.values(described(c)), c.flags.map(f => f[0]).join(" "), ...c.facts, c.created, c.mask, c.key, c.rerun]);
  const head = [...Object.keys(described(study.cells[0])), "flags", ...study.data.facts, "created", "mask", "key", "rerun"];
  return [head, ...lines].map(line => line.map(quoted).join(",")).join("\r\n") + "\r\n";
};
const asJson = (rows, filter) => JSON.stringify({
  study: study.data.study, filter, cells_of_study: study.cells.length,
  cells: rows.map(c => ({
    ...described(c), flags: Object.fromEntries(c.flags), ...Object.fromEntries(study.data.facts.map((name, i) => [name, c.facts[i]])),
    created: c.created, mask: c.mask, key: c.key, environment: c.environment, rerun: c.rerun,
  })),
}, null, 1) + "\n";

const latexText = text => {
  const escaped = [...String(text)].map(c => study.data.latex[c] ?? (c < " " || c === "\u007f" ? " " : c)).join("");
  return /^[[*]/.test(escaped) ? `{${escaped}}` : escaped; // or it would be an argument of the line break above
};
const asLatex = (rows, filter) => {
  const { columns } = study, tall = rows.length > 45, table = tall ? "longtable" : "tabular";
  const line = words => `${words.join(" & ")} \\\\`;
  return [
    `% ${study.data.study.replace(/\s+/g, " ")}: ${rows.length} of ${study.cells.length} cells${filter ? `, ${filter.replace(/\s+/g, " ")}` : ""}`,
    `% needs \\usepackage{booktabs}${tall ? " and \\usepackage{longtable}" : ""}`,
    `\\begin{${table}}{${columns.map(c => c.number ? "r" : "l").join("")}}`,
    "\\toprule", line(columns.map(c => latexText(c.title))), "\\midrule", ...(tall ? ["\\endhead"] : []),
    ...rows.map(cell => line(columns.map(c => latexText(c.show(cell))))),
    "\\bottomrule", `\\end{${table}}`, "",
  ].join("\n");
};
