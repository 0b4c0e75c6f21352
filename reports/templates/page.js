"use strict";
(() => {
  const PAGE = 200, SVG = "http://www.w3.org/2000/svg", root = document.documentElement;
  const $ = id => document.getElementById(id);

  // an element with attributes and children; text only ever enters as text
  const make = (tag, attributes = {}, ...children) => {
    const element = attributes.svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) if (key !== "svg") element.setAttribute(key, value);
    element.append(...children.filter(child => child !== ""));
    return element;
  };
  const save = (name, type, text) => {
    const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const fileName = text => text.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^-+|-+$/g, "") || "pabench";

  // light and dark
  const stored = () => { try { return localStorage.getItem("pabench-theme"); } catch { return null; } };
  const parameters = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  const theme = parameters().get("theme") || stored();
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  $("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("pabench-theme", root.dataset.theme); } catch { /* a page without storage forgets it */ }
  });

  for (const button of document.querySelectorAll(".save-svg")) {
    button.setAttribute("aria-label", `Save the figure ${button.dataset.file} as SVG`);
    button.addEventListener("click", () => {
      const copy = button.closest("figure").querySelector("svg").cloneNode(true);
      copy.setAttribute("xmlns", SVG);
      copy.setAttribute("font-family", "sans-serif");
      const text = new XMLSerializer().serializeToString(copy);
      save(`${fileName(button.dataset.file)}.svg`, "image/svg+xml", text.replaceAll("currentColor", "#1b1f24").replaceAll("var(--grid)", "#e3e7eb"));
    });
  }

  for (const button of document.querySelectorAll(".save-text")) {
    button.addEventListener("click", () => save(button.dataset.file.replace(/[^A-Za-z0-9._-]+/g, "-"), "text/plain", $(button.dataset.from).textContent));
  }

  const source = $("cells-data");
  if (!source) return;
  const data = JSON.parse(source.textContent), fact = Object.fromEntries(data.facts.map((name, i) => [name, i]));
  const ablated = data.ablation.some(name => name);
  const percent = s => `${+(s * 100).toFixed(4)} %`;
  const cells = data.rows.map(row => {
    const [dataset, model, criterion, sparsity, seed, status, flags, facts, key, texts, environment, layers, curve, scored, ablation, parent] = row;
    const cell = {
      dataset: data.dataset[dataset], model: data.model[model], criterion: data.criterion[criterion],
      sparsity, seed, status: data.statuses[status], flags: flags.map(i => data.flags[i]), facts, key,
      kind: data.texts[texts[0]], message: data.texts[texts[1]], traceback: data.texts[texts[2]], created: data.texts[texts[3]],
      environment: data.environments[environment], layerNames: data.layers[layers[0]], kept: layers[1], curve,
      scored: data.texts[scored], ablation: data.ablation[ablation] || "none", parent,
    };
    const only = [data.only.dataset[dataset], data.only.model[model], data.only.criterion[criterion], `sparsity=${sparsity}`, `seed=${seed}`];
    if (ablated && sparsity) only.push(data.only.ablation[ablation]);
    cell.rerun = [data.command, ...only.map(word => `--only ${word}`)].join(" ");
    if (cell.status === "failed") cell.rerun += " --retry failed";
    cell.text = [cell.dataset, cell.model, cell.criterion, ablated ? cell.ablation : "", percent(sparsity), cell.status, cell.kind, cell.message, ...cell.flags.flat(), key].join(" ").toLowerCase();
    return cell;
  });
  const group = cell => JSON.stringify([cell.dataset, cell.model, cell.seed, cell.sparsity, cell.ablation]);
  const incomplete = new Set(cells.filter(cell => cell.status !== "ok" && cell.kind !== "inapplicable").map(group));
  for (const cell of cells) cell.complete = !incomplete.has(group(cell));

  const number = (name, digits) => cell => {
    const value = cell.facts[fact[name]];
    return value === null ? "–" : value.toFixed(digits).replace("-", "−");
  };
  const seconds = name => cell => {
    const value = cell.facts[fact[name]];
    return value === null ? "–" : value < 1 ? `${(value * 1000).toFixed(0)} ms` : value < 120 ? `${value.toFixed(1)} s` : `${(value / 60).toFixed(1)} min`;
  };
  const value = name => cell => cell.facts[fact[name]];
  const COLUMNS = [
    { id: "dataset", title: "Dataset", sort: c => c.dataset },
    { id: "model", title: "Model", sort: c => c.model },
    { id: "criterion", title: "Criterion", sort: c => c.criterion },
    ...(ablated ? [{ id: "ablation", title: "Ablation", sort: c => c.ablation }] : []),
    { id: "sparsity", title: "Sparsity", sort: c => c.sparsity, show: c => percent(c.sparsity), number: true },
    { id: "seed", title: "Seed", sort: c => c.seed, number: true },
    { id: "status", title: "Status", sort: c => data.statuses.indexOf(c.status) },
    { id: "top1", title: "Top-1, %", sort: value("top1"), show: number("top1", 2), number: true },
    { id: "loss", title: "Loss", sort: value("loss"), show: number("loss", 3), number: true },
    { id: "scoring", title: "Scoring", sort: value("scoring_seconds"), show: seconds("scoring_seconds"), number: true },
    { id: "training", title: "Training", sort: value("training_seconds"), show: seconds("training_seconds"), number: true },
    { id: "flags", title: "Flags", sort: c => c.flags.map(f => f[0]).join(" ") },
  ];
  const form = $("filters"), body = $("cells-table").tBodies[0], headings = $("cells-table").tHead.rows[0];
  const state = { sort: "", descending: false, shown: PAGE, rows: cells };

  const options = (name, label = x => x) => {
    const numeric = name === "sparsity" || name === "seed";
    const values = [...new Set(cells.map(cell => cell[name]))];
    if (numeric) values.sort((a, b) => a - b);
    form.elements[name].append(...values.map(v => make("option", { value: v }, String(label(v)))));
  };
  ["dataset", "model", "criterion", ...(ablated ? ["ablation"] : []), "seed", "status"].forEach(name => options(name));
  options("sparsity", percent);

  for (const column of COLUMNS) {
    const button = make("button", { type: "button" }, column.title);
    button.addEventListener("click", () => {
      state.descending = state.sort === column.id && !state.descending;
      state.sort = column.id;
      update();
    });
    headings.append(make("th", { scope: "col", class: column.number ? "num" : "" }, button));
  }

  const select = () => {
    const wanted = Object.fromEntries(new FormData(form));
    const words = (wanted.q || "").toLowerCase().split(/\s+/).filter(Boolean);
    const exact = ["dataset", "model", "criterion", "ablation", "sparsity", "seed", "status"].filter(name => wanted[name]);
    const rows = cells.filter(cell =>
      exact.every(name => String(cell[name]) === wanted[name]) && (!wanted.flagged || cell.flags.length) &&
      (!wanted.complete || cell.complete) && words.every(word => cell.text.includes(word)));
    const column = COLUMNS.find(c => c.id === state.sort);
    if (column) {
      const sign = state.descending ? -1 : 1;
      const keyed = rows.map(cell => [column.sort(cell), cell]);
      // what has no value comes last in both directions
      keyed.sort(([a], [b]) => (a === null) - (b === null) || (a < b ? -sign : a > b ? sign : 0));
      return keyed.map(([, cell]) => cell);
    }
    return rows;
  };

  const line = cell => {
    const row = make("tr", { class: "cell" });
    COLUMNS.forEach((column, i) => {
      const td = make("td", { class: column.number ? "num" : "" });
      if (i === 0) {
        const open = make("button", { type: "button", class: "open", "aria-expanded": "false", "aria-label": `Details of ${cell.criterion}${cell.parent ? `, ${cell.ablation},` : ""} at ${percent(cell.sparsity)}, ${cell.model}, seed ${cell.seed}` });
        open.addEventListener("click", () => toggle(row, open, cell));
        td.append(open, cell.dataset);
      } else if (column.id === "status") td.append(make("span", { class: `status ${cell.status}` }, cell.status), cell.kind ? ` ${cell.kind}` : "");
      else if (column.id === "flags") td.append(...cell.flags.map(f => make("span", { class: "flag", title: f[1] }, `⚑ ${f[0]} `)));
      else td.append(column.show ? column.show(cell) : String(cell[column.id]));
      if (column.id === "top1" && cell.flags.length) td.classList.add("flagged");
      row.append(td);
    });
    return row;
  };

  const part = (title, ...children) => make("div", {}, make("h4", {}, title), ...children);
  const list = pairs => make("dl", {}, ...pairs.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, String(text))]));
  const curve = ([epochs, loss, top1]) => {
    const drawing = make("svg", { svg: 1, viewBox: "0 0 320 150", role: "img", "aria-label": "Training loss and accuracy by epoch" });
    drawing.append(make("rect", { svg: 1, class: "frame", x: 34, y: 8, width: 252, height: 116 }));
    const last = epochs[epochs.length - 1], x = e => 34 + 252 * (last > 1 ? (e - 1) / (last - 1) : 0.5);
    const draw = (name, values, top) => {
      const points = values.map((v, i) => v === null ? null : `${x(epochs[i]).toFixed(1)},${(124 - 116 * Math.min(v / top, 1)).toFixed(1)}`);
      drawing.append(make("polyline", { svg: 1, class: `curve-${name}`, points: points.filter(Boolean).join(" ") }));
    };
    const text = (at, y, words, anchor) => drawing.append(make("text", { svg: 1, x: at, y, "text-anchor": anchor }, words));
    const top = Math.max(...loss.filter(v => v !== null), 1e-9);
    draw("loss", loss, top);
    if (top1.length) draw("top1", top1, 100);
    text(30, 16, top.toPrecision(2), "end"); text(30, 124, "0", "end");
    if (top1.length) { text(290, 16, "100 %", "start"); text(290, 124, "0", "start"); }
    text(160, 142, `epochs 1 to ${last}`, "middle");
    return drawing;
  };
  const layers = cell => {
    const height = 13, n = cell.kept.length, drawing = make("svg", { svg: 1, viewBox: `0 0 360 ${height * n + 2}`, role: "img", "aria-label": "Density of each layer" });
    cell.kept.forEach((kept, i) => {
      const [name, total] = cell.layerNames[i], share = kept / total, y = i * height;
      drawing.append(
        make("text", { svg: 1, x: 150, y: y + 10, "text-anchor": "end" }, name.replace(/\.weight$/, "").slice(-24)),
        make("rect", { svg: 1, class: "bar-kept", x: 156, y: y + 2, width: (120 * share).toFixed(2), height: height - 4 }),
        make("text", { svg: 1, x: 284, y: y + 10 }, `${(100 * share).toPrecision(3)} %`));
    });
    return drawing;
  };
  const detail = cell => {
    const parts = make("div", { class: "parts" });
    const facts = data.facts.map((name, i) => [name.replaceAll("_", " "), cell.facts[i]]).filter(([, v]) => v !== null);
    if (cell.parent) parts.append(part("Ablation", make("p", {}, `${cell.ablation} of `, make("a", { href: `#cell=${cell.parent.slice(0, 16)}` }, "its plain cell"))));
    if (cell.message) parts.append(part("What happened", make("p", {}, cell.kind ? `${cell.kind}: ${cell.message}` : cell.message)));
    if (cell.flags.length) parts.append(part("Flags", list(cell.flags)));
    if (cell.traceback) parts.append(part("Traceback", make("pre", {}, cell.traceback)));
    if (cell.status === "missing") parts.append(part("What happened", make("p", {}, "This cell has no record: it has not been run to its end.")));
    if (facts.length) parts.append(part("Numbers", list([...(cell.scored ? [["scored in", cell.scored]] : []), ...facts])));
    if (cell.curve[0].length) parts.append(part("Training loss (solid) and top-1 (dashed)", curve(cell.curve)));
    if (cell.kept.length) parts.append(part("Layer densities", layers(cell)));
    const environment = Object.entries(cell.environment);
    if (environment.length) parts.append(part("Environment", list([...environment, ["finished", cell.created]])));
    return make("td", { colspan: COLUMNS.length }, parts, part("Run it again", make("pre", { class: "rerun" }, cell.rerun)), make("small", {}, make("a", { href: `#cell=${cell.key.slice(0, 16)}` }, "link to this cell"), ` · key ${cell.key}`));
  };
  const toggle = (row, button, cell) => {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) row.nextElementSibling.remove();
    else row.after(make("tr", { class: "detail" }, detail(cell)));
  };

  const draw = () => {
    body.replaceChildren(...state.rows.slice(0, state.shown).map(line));
    const rest = state.rows.length - state.shown;
    $("more").hidden = rest <= 0;
    $("more").textContent = `Show ${Math.min(rest, 5 * PAGE)} more of ${rest}`;
    COLUMNS.forEach((column, i) => {
      const sorted = state.sort === column.id;
      headings.cells[i].setAttribute("aria-sort", sorted ? (state.descending ? "descending" : "ascending") : "none");
    });
  };
  const update = (remember = true) => {
    const begun = performance.now();
    state.rows = select();
    state.shown = PAGE;
    draw();
    $("matches").textContent = `${state.rows.length} of ${cells.length} cells`;
    $("matches").dataset.milliseconds = (performance.now() - begun).toFixed(1);
    if (!remember) return;
    const hash = new URLSearchParams([...new FormData(form)].filter(([, v]) => v));
    if (state.sort) hash.set("sort", state.sort + (state.descending ? ":desc" : ""));
    history.replaceState(null, "", hash.size ? `#${hash}` : location.pathname + location.search);
  };
  const restore = () => {
    const wanted = parameters();
    for (const field of form.elements) field.type === "checkbox" ? field.checked = false : field.value = "";
    for (const [name, text] of wanted) {
      const field = form.elements[name];
      if (field instanceof Element && name !== "sort") field.type === "checkbox" ? field.checked = text === "1" : field.value = text;
    }
    [state.sort, state.descending] = [(wanted.get("sort") || "").split(":")[0], /:desc$/.test(wanted.get("sort") || "")];
    update(false);
    const found = wanted.get("cell") && cells.find(cell => cell.key.startsWith(wanted.get("cell")));
    if (found) {
      state.rows = [found];
      draw();
      $("matches").textContent = `1 of ${cells.length} cells, by its link`;
      body.querySelector(".open").click();
    }
    return wanted.size > 0 && !(wanted.size === 1 && wanted.has("theme"));
  };

  form.addEventListener("input", () => update());
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { state.sort = ""; update(); }));
  $("more").addEventListener("click", () => { state.shown += 5 * PAGE; draw(); });
  addEventListener("hashchange", () => { if (location.hash.includes("=") && restore()) $("cells").scrollIntoView(); });

  // a cell that a spreadsheet would run as a formula gets a quote mark
  const quoted = v => {
    const text = v === null || v === undefined ? "" : typeof v === "string" && /^[=+\-@\t\r]/.test(v) ? `'${v}` : String(v);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = rows => {
    const columns = ["dataset", "model", "criterion", ...(ablated ? ["ablation"] : []), "sparsity", "seed", "status", "kind", "message"];
    const lines = rows.map(c => [...columns.map(name => c[name]), c.flags.map(f => f[0]).join(" "), ...c.facts, c.created, c.key, c.rerun]);
    return [[...columns, "flags", ...data.facts, "created", "key", "rerun"], ...lines].map(l => l.map(quoted).join(",")).join("\r\n") + "\r\n";
  };
  $("csv").addEventListener("click", () => {
    save(`${fileName($("csv").dataset.file)}.csv`, "text/csv", csv(state.rows));
  });

  if (restore()) $("cells").scrollIntoView();
})();
