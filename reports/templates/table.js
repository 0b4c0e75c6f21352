const PAGE = 100, PAPER = 1000; // rows at first, and at least those that are printed
const table = () => {
  const { cells, columns, ablated } = study;
  const form = $("filters"), body = $("cells-table").tBodies[0], headings = $("cells-table").tHead.rows[0];
  const state = { sort: "", descending: false, shown: PAGE, rows: cells, filter: "" };
  const EXACT = [...(study.data.studies.length ? ["from"] : []), "dataset", "model", "criterion", ...(ablated ? ["ablation"] : []), "sparsity", "seed", "status"];

  for (const name of EXACT) {
    const values = [...new Set(cells.map(cell => cell[name]))];
    if (name === "sparsity" || name === "seed") values.sort((a, b) => a - b);
    form.elements[name].append(...values.map(v => make("option", { value: v }, name === "sparsity" ? percent(v) : String(v))));
  }
  for (const column of columns) {
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
    const words = (wanted.q || "").toLowerCase().split(/\s+/).filter(Boolean), exact = EXACT.filter(name => wanted[name]);
    const rows = cells.filter(cell =>
      exact.every(name => String(cell[name]) === wanted[name]) && (!wanted.flagged || cell.flags.length) &&
      (!wanted.complete || cell.complete) && words.every(word => cell.text.includes(word)));
    const column = columns.find(c => c.id === state.sort);
    if (!column) return rows;
    const sign = state.descending ? -1 : 1, keyed = rows.map(cell => [column.sort(cell), cell]);
    // what has no value comes last in both directions
    keyed.sort(([a], [b]) => (a === null) - (b === null) || (a < b ? -sign : a > b ? sign : 0));
    return keyed.map(([, cell]) => cell);
  };

  const line = cell => {
    const row = make("tr", { class: "cell" });
    columns.forEach((column, i) => {
      const td = make("td", { class: column.number ? "num" : "" });
      if (i === 0) {
        const name = `Details of ${cell.criterion}${cell.parent ? `, ${cell.ablation},` : ""} at ${percent(cell.sparsity)}, ${cell.model}, seed ${cell.seed}`;
        const open = make("button", { type: "button", class: "open", "aria-expanded": "false", "aria-label": name });
        open.addEventListener("click", () => toggle(row, cell));
        td.append(open, cell.dataset);
      } else if (column.id === "status") td.append(make("span", { class: `status ${cell.status}` }, cell.status), cell.kind ? ` ${cell.kind}` : "");
      else if (column.id === "flags") td.append(...cell.flags.map(f => make("span", { class: "flag", title: f[1] }, `⚑ ${f[2]} `)));
      else td.append(column.show(cell));
      if (column.id === "top1" && cell.flags.length) td.classList.add("flagged");
      row.append(td);
    });
    return row;
  };
  const toggle = (row, cell) => {
    const button = row.querySelector(".open"), open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) row.nextElementSibling.remove();
    else row.after(make("tr", { class: "detail" }, detail(cell)));
  };
  // Escape closes what is open around the focus; the arrows go from row to row
  body.addEventListener("keydown", event => {
    const within = event.target.closest("tr"), row = within.matches(".detail") ? within.previousElementSibling : within;
    const button = row.querySelector(".open");
    if (event.key === "Escape" && button.getAttribute("aria-expanded") === "true") { button.click(); button.focus(); }
    if (event.target !== button || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    const buttons = [...body.querySelectorAll(".open")], next = buttons[buttons.indexOf(button) + (event.key === "ArrowDown" ? 1 : -1)];
    if (next) { event.preventDefault(); next.focus(); }
  });

  const draw = () => {
    body.replaceChildren(...state.rows.slice(0, state.shown).map(line));
    const rest = state.rows.length - state.shown;
    $("more").hidden = rest <= 0;
    $("more").textContent = `Show ${Math.min(rest, 5 * PAGE)} more of ${rest}`;
    $("cut").textContent = rest > 0 ? `The first ${state.shown} of ${state.rows.length} cells; the exports have them all.` : "";
    columns.forEach((column, i) => {
      const sorted = state.sort === column.id;
      headings.cells[i].setAttribute("aria-sort", sorted ? (state.descending ? "descending" : "ascending") : "none");
    });
  };
  const update = (remember = true) => {
    const begun = performance.now();
    state.rows = select();
    state.shown = PAGE;
    const hash = new URLSearchParams([...new FormData(form)].filter(([, v]) => v));
    state.filter = [...hash].map(([name, v]) => name === "q" ? `search ${v}` : v === "1" && !EXACT.includes(name) ? name : `${name === "from" ? "study" : name} ${v}`).join(", ");
    if (state.sort) hash.set("sort", state.sort + (state.descending ? ":desc" : ""));
    draw();
    const sorted = columns.find(c => c.id === state.sort);
    $("matches").textContent = `${state.rows.length} of ${cells.length} cells`;
    $("chosen").textContent = [state.filter, sorted ? `sorted by ${sorted.title}${state.descending ? ", descending" : ""}` : ""].filter(Boolean).join("; ");
    $("matches").dataset.milliseconds = (performance.now() - begun).toFixed(1);
    if (remember) history.replaceState(null, "", hash.size ? `#${hash}` : location.pathname + location.search);
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
    const key = wanted.get("cell"), found = key && cells.find(cell => cell.key.startsWith(key));
    if (found) {
      state.rows = [found];
      state.filter = `cell ${key}`;
      draw();
      $("matches").textContent = `1 of ${cells.length} cells, by its link`;
      body.querySelector(".open").click();
    } else if (key) $("matches").textContent = `No cell of this study has a key that begins with ${key}; all ${cells.length} are shown`;
    return [...wanted.keys()].some(name => !["theme", "of"].includes(name)); // of the whole page, not of the table
  };

  form.addEventListener("input", () => update());
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { state.sort = ""; update(); }));
  $("more").addEventListener("click", () => { state.shown += 5 * PAGE; draw(); });
  let onScreen = 0;
  addEventListener("beforeprint", () => {
    onScreen = state.shown;
    if (state.rows.length > state.shown && state.shown < PAPER) { state.shown = PAPER; draw(); }
  });
  addEventListener("afterprint", () => { if (state.shown !== onScreen) { state.shown = onScreen; draw(); } });
  addEventListener("hashchange", () => { if (location.hash.includes("=") && restore()) $("cells").scrollIntoView(); });

  const name = fileName(study.data.study);
  const exported = { csv: ["text/csv", asCsv], tex: ["application/x-tex", asLatex], json: ["application/json", asJson] };
  for (const button of document.querySelectorAll("[data-export]")) {
    const [type, written] = exported[button.dataset.export];
    button.addEventListener("click", () => save(`${name}.${button.dataset.export}`, type, written(state.rows, state.filter)));
  }
  if (restore()) $("cells").scrollIntoView();
};
if ($("cells-data")) unzipped($("cells-data").textContent).then(data => { study = load(data); table(); }).catch(error => {
  $("matches").textContent = `The table could not be unpacked (${error.message}); browsers from 2023 on can.`;
});
