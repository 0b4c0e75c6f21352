// entries of a legend hide and show what they stand for, in every figure
const hiddenSeries = new Set();
const dress = place => {
  for (const wide of document.querySelectorAll(".drawing:has(.wide)")) wide.tabIndex = 0; // it may have to be scrolled
  for (const drawn of place.querySelectorAll("svg [data-series]")) drawn.classList.toggle("off", hiddenSeries.has(drawn.dataset.series));
};
const showSeries = (name, shown) => {
  shown ? hiddenSeries.delete(name) : hiddenSeries.add(name);
  for (const button of document.querySelectorAll(".keys button")) button.setAttribute("aria-pressed", String(!hiddenSeries.has(button.parentElement.dataset.series)));
  dress(document);
};
for (const key of document.querySelectorAll(".keys li")) {
  const button = make("button", { type: "button", "aria-pressed": "true", title: "Show or hide in all figures" });
  button.append(...key.childNodes);
  button.addEventListener("click", () => showSeries(key.dataset.series, hiddenSeries.has(key.dataset.series)));
  key.append(button);
}

dress(document);

// one model at a time: the drawings of the others are data until they are asked for
const drawings = $("drawings") ? inflated($("drawings").textContent) : Promise.resolve([]);
const draw = place => drawings.then(drawn => {
  for (const drawing of place.querySelectorAll("[data-drawing]")) if (!drawing.closest("[hidden]") && !drawing.firstChild) {
    drawing.innerHTML = drawn[drawing.dataset.drawing]; // made with this page, its names escaped
    dress(drawing);
  }
});
const showModel = model => {
  for (const part of document.querySelectorAll("[data-of]")) part.hidden = part.dataset.of !== model;
  return draw(document);
};
const chosenModel = () => {
  const wanted = parameters().get("of");
  if ([...$("of").options].some(option => option.value === wanted)) $("of").value = wanted;
  return showModel($("of").value);
};
if ($("of")) {
  $("of").addEventListener("change", () => showModel($("of").value));
  addEventListener("hashchange", chosenModel);
  chosenModel();
}

// the numbers of the mark that is nearest to the pointer
const tip = make("div", { class: "tip", hidden: "" });
document.body.append(tip);
const REACH = 24; // pixels
const nearest = (svg, x, y) => {
  let best = null, least = REACH, middle = Infinity;
  for (const drawn of svg.querySelectorAll("[data-tip]:not(.off)")) {
    const box = drawn.getBoundingClientRect();
    const away = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
    const off = Math.hypot((box.left + box.right) / 2 - x, (box.top + box.bottom) / 2 - y); // of those under the pointer
    if (away < least || (away === least && off < middle)) [best, least, middle] = [drawn, away, off];
  }
  return best;
};
const square = (svg, x, y) => {
  const [rows, columns, texts] = JSON.parse(svg.dataset.grid), box = svg.querySelector("image, .squares").getBoundingClientRect();
  const row = Math.floor((y - box.top) / box.height * rows.length), column = Math.floor((x - box.left) / box.width * columns.length);
  return texts[row]?.[column] ? `${rows[row]}, ${columns[column]}: ${texts[row][column]}` : "";
};
const point = event => {
  const svg = event.target.closest?.("svg.figure"), at = [event.clientX, event.clientY];
  const told = svg ? svg.dataset.grid ? square(svg, ...at) : nearest(svg, ...at)?.dataset.tip : "";
  tip.hidden = !told;
  if (!told) return;
  tip.textContent = told;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18}px`;
};
for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, point);
document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hidden = true; });

// a figure as a file: its panels side by side over its legend, in light colours
const asFile = figure => {
  const whole = make("svg", { svg: 1, xmlns: SVG, "font-family": "sans-serif" }), GAP = 10, LINE = 16;
  let width = 0, height = 0;
  for (const panel of figure.querySelectorAll(".drawing svg")) {
    const copy = panel.cloneNode(true), { width: w, height: h } = panel.viewBox.baseVal;
    for (const [name, value] of Object.entries({ x: width, y: 0, width: w, height: h })) copy.setAttribute(name, value);
    for (const drawn of copy.querySelectorAll(".off")) drawn.remove();
    whole.append(copy);
    [width, height] = [width + w + GAP, Math.max(height, h)];
  }
  for (const key of figure.querySelectorAll(".keys li")) if (!hiddenSeries.has(key.dataset.series)) {
    const swatch = key.querySelector("svg").cloneNode(true);
    swatch.setAttribute("x", GAP); swatch.setAttribute("y", height + 2);
    whole.append(swatch, make("text", { svg: 1, x: GAP + 34, y: height + 12, "font-size": 9.5, fill: "currentColor" }, key.dataset.series));
    height += LINE;
  }
  whole.setAttribute("viewBox", `0 0 ${width} ${height + GAP}`);
  return new XMLSerializer().serializeToString(whole).replaceAll("currentColor", "#1b1f24").replaceAll("var(--grid)", "#e3e7eb");
};
for (const figure of document.querySelectorAll("figure:has(.drawing)")) {
  const name = figure.querySelector("h3").textContent, file = fileName(`${figure.closest("section")?.id || ""}-${name}`);
  const button = make("button", { type: "button", class: "save-svg", "aria-label": `Save as SVG: the figure ${name}` }, "Save as SVG");
  button.addEventListener("click", () => save(`${file}.svg`, "image/svg+xml", asFile(figure)));
  figure.querySelector(".picture").append(button);
}
