// entries of a legend hide and show what they stand for, in every figure
const hiddenSeries = new Set();
const dress = place => {
  for (const drawn of place.querySelectorAll("svg [data-series]")) drawn.classList.toggle("off", hiddenSeries.has(drawn.dataset.series));
};
const setSeries = name => {
  hiddenSeries.has(name) ? hiddenSeries.delete(name) : hiddenSeries.add(name);
  for (const button of document.querySelectorAll(".keys button")) button.setAttribute("aria-pressed", String(!hiddenSeries.has(button.parentElement.dataset.series)));
  dress(document);
};
for (const key of document.querySelectorAll(".keys li")) {
  const button = make("button", { type: "button", "aria-pressed": "true", title: "Show or hide in all figures" });
  button.append(...key.childNodes);
  button.addEventListener("click", () => setSeries(key.dataset.series));
  key.append(button);
}

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
if ($("of")) {
  const wanted = parameters().get("of");
  if ([...$("of").options].some(option => option.value === wanted)) $("of").value = wanted;
  $("of").addEventListener("change", () => showModel($("of").value));
  showModel($("of").value);
}

// the numbers of the mark that is nearest to the pointer
const tip = make("div", { class: "tip", hidden: "" });
document.body.append(tip);
const REACH = 24; // pixels
const nearest = (svg, x, y) => {
  let best = null, least = REACH;
  for (const drawn of svg.querySelectorAll("[data-tip]:not(.off)")) {
    const box = drawn.getBoundingClientRect();
    const away = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
    if (away < least) [best, least] = [drawn, away];
  }
  return best;
};
const point = event => {
  const svg = event.target.closest?.("svg.figure"), found = svg && nearest(svg, event.clientX, event.clientY);
  tip.hidden = !found;
  if (!found) return;
  tip.textContent = found.dataset.tip;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 12 : event.clientY + 18}px`;
};
for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, point);
document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hidden = true; });
