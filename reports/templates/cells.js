// the cells of the study, unpacked from the page's own data; null until then, and on a page without a table of cells
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const unpack = (text, top) => (text.match(/../g) || []).map(two => two === ".." ? null : top * (64 * DIGITS.indexOf(two[0]) + DIGITS.indexOf(two[1])) / 4095);
const percent = s => `${+(s * 100).toFixed(4)} %`;
const duration = s => s < 1 ? `${(s * 1000).toFixed(0)} ms` : s < 120 ? `${s.toFixed(1)} s` : `${(s / 60).toFixed(1)} min`;
const load = data => {
  const place = Object.fromEntries(data.facts.map((name, i) => [name, i])), ablated = data.ablation.some(name => name);
  const cells = data.rows.map(row => {
    const [dataset, model, criterion, sparsity, seed, status, flags, facts, key, texts, environment, layers, curve, scored, ablation, parent, mask, from, rerun] = row;
    const cell = {
      dataset: data.dataset[dataset], model: data.model[model], criterion: data.criterion[criterion],
      sparsity, seed, status: data.statuses[status], flags: flags.map(i => data.flags[i]), facts, key, mask, curve,
      kind: data.texts[texts[0]], message: data.texts[texts[1]], traceback: data.texts[texts[2]], created: data.texts[texts[3]],
      environment: data.environments[environment], layerNames: data.layers[layers[0]], kept: layers[1],
      scored: data.texts[scored], ablation: data.ablation[ablation] || "none", parent: parent < 0 ? "" : data.rows[parent][8],
    };
    const only = [data.only.dataset[dataset], data.only.model[model], data.only.criterion[criterion], `sparsity=${sparsity}`, `seed=${seed}`];
    if (ablated && sparsity) only.push(data.only.ablation[ablation]);
    cell.rerun = [data.command, ...only.map(word => `--only ${word}`)].join(" ");
    if (cell.status === "failed") cell.rerun += " --retry failed";
    if (from !== undefined) [cell.from, cell.rerun] = [data.studies[from], data.texts[rerun]];
    cell.text = [cell.dataset, cell.model, cell.criterion, ablated ? cell.ablation : "", percent(sparsity), cell.status, cell.kind, cell.message, ...cell.flags.flat(), cell.from || "", key].join(" ").toLowerCase();
    return cell;
  });
  // a row is complete where every criterion of its block is finished at its sparsity
  const group = cell => JSON.stringify([cell.dataset, cell.model, cell.seed, cell.sparsity, cell.ablation]);
  const incomplete = new Set(cells.filter(cell => cell.status !== "ok" && cell.kind !== "inapplicable").map(group));
  for (const cell of cells) cell.complete = !incomplete.has(group(cell));
  const fact = name => cell => cell.facts[place[name]];

  const number = (name, digits) => cell => {
    const value = fact(name)(cell);
    return value === null ? "–" : value.toFixed(digits).replace("-", "−");
  };
  const seconds = name => cell => fact(name)(cell) === null ? "–" : duration(fact(name)(cell));
  const columns = [
    { id: "dataset", title: "Dataset", sort: c => c.dataset },
    { id: "model", title: "Model", sort: c => c.model },
    { id: "criterion", title: "Criterion", sort: c => c.criterion },
    ...(ablated ? [{ id: "ablation", title: "Ablation", sort: c => c.ablation }] : []),
    { id: "sparsity", title: "Sparsity", sort: c => c.sparsity, show: c => percent(c.sparsity), number: true },
    { id: "seed", title: "Seed", sort: c => c.seed, number: true },
    { id: "status", title: "Status", sort: c => data.statuses.indexOf(c.status), show: c => [c.status, c.kind].filter(Boolean).join(" ") },
    { id: "top1", title: "Top-1, %", sort: fact("top1"), show: number("top1", 2), number: true },
    { id: "loss", title: "Loss", sort: fact("loss"), show: number("loss", 3), number: true },
    { id: "scoring", title: "Scoring", sort: fact("scoring_seconds"), show: seconds("scoring_seconds"), number: true },
    { id: "training", title: "Training", sort: fact("training_seconds"), show: seconds("training_seconds"), number: true },
    { id: "flags", title: "Flags", sort: c => c.flags.map(f => f[2]).join(" "), show: c => c.flags.map(f => f[2]).join(", ") },
    ...(data.studies.length ? [{ id: "from", title: "Study", sort: c => c.from }] : []),
  ];
  for (const column of columns) column.show ||= cell => String(cell[column.id]);
  return { data, cells, columns, ablated, fact };
};
let study = null;
// gzip in base64; the cells are rows by columns
const inflated = async text => {
  const zipped = new Blob([Uint8Array.from(atob(text), letter => letter.charCodeAt(0))]);
  return JSON.parse(await new Response(zipped.stream().pipeThrough(new DecompressionStream("gzip"))).text());
};
const unzipped = async text => {
  const data = await inflated(text);
  return { ...data, rows: (data.rows[0] || []).map((_, i) => data.rows.map(column => column[i])) };
};
