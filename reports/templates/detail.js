// all that is known of one cell
const part = (title, ...children) => make("div", {}, make("h4", {}, title), ...children);
const list = pairs => make("dl", {}, ...pairs.filter(([, text]) => text !== null && text !== "").flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, String(text))]));
const curve = ([epochsAt, top, lossText, top1Text]) => {
  const epochs = study.data.epochs[epochsAt], loss = unpack(lossText, top), top1 = unpack(top1Text, 100), last = epochs[epochs.length - 1];
  const end = values => values[values.length - 1];
  const words = `Training loss ${loss[0]?.toPrecision(3)} to ${end(loss)?.toPrecision(3)}${top1.length ? `, training top-1 ${top1[0]?.toFixed(1)} to ${end(top1)?.toFixed(1)} %` : ""}, epochs 1 to ${last}`;
  const drawing = make("svg", { svg: 1, viewBox: "0 0 330 150", role: "img", "aria-label": words });
  drawing.append(make("rect", { svg: 1, class: "frame", x: 34, y: 8, width: 252, height: 116 }));
  const x = e => 34 + 252 * (last > 1 ? (e - 1) / (last - 1) : 0.5);
  const draw = (name, values, highest) => {
    const points = values.map((v, i) => v === null ? null : `${x(epochs[i]).toFixed(1)},${(124 - 116 * Math.min(v / highest, 1)).toFixed(1)}`).filter(Boolean);
    if (points.length === 1) points.push(points[0].replace(/^[^,]+/, v => +v + 2)); // one epoch is a dot
    drawing.append(make("polyline", { svg: 1, class: `curve-${name}`, points: points.join(" ") }));
  };
  const text = (at, y, words, anchor) => drawing.append(make("text", { svg: 1, x: at, y, "text-anchor": anchor }, words));
  draw("loss", loss, top);
  if (top1.length) draw("top1", top1, 100);
  text(30, 16, top.toPrecision(2), "end"); text(30, 124, "0", "end");
  if (top1.length) { text(290, 16, "100 %", "start"); text(290, 124, "0", "start"); }
  text(160, 142, last > 1 ? `epochs 1 to ${last}` : "epoch 1", "middle");
  return drawing;
};
const layers = cell => {
  const height = 13, n = cell.kept.length;
  const drawing = make("svg", { svg: 1, viewBox: `0 0 360 ${height * n + 2}`, role: "img", "aria-label": `Density of each of ${n} layers, first to last` });
  cell.kept.forEach((kept, i) => {
    const [name, total] = cell.layerNames[i], share = kept / total, y = i * height;
    drawing.append(
      make("text", { svg: 1, x: 150, y: y + 10, "text-anchor": "end", class: kept ? "" : "empty" }, name.replace(/\.weight$/, "").slice(-24)),
      make("rect", { svg: 1, class: "bar-kept", x: 156, y: y + 2, width: (120 * share).toFixed(2), height: height - 4 }),
      make("text", { svg: 1, x: 284, y: y + 10, class: kept ? "" : "empty" }, kept ? `${(100 * share).toPrecision(3)} %` : "empty"));
  });
  return drawing;
};
const amount = v => v === null ? null : Number.isInteger(v) ? v.toLocaleString("en") : v;
const kept = v => v === null ? null : `${+(100 * v).toPrecision(6)} %`;
const bytes = v => v < 2 ** 30 ? `${Math.max(1, Math.round(v / 2 ** 20))} MiB` : `${(v / 2 ** 30).toFixed(2)} GiB`;
const receipt = cell => {
  const f = name => study.fact(name)(cell), reached = f("sparsity_reached"), tied = f("tied_at_threshold");
  return list([
    ["requested density", kept(1 - cell.sparsity)], ["realised density", reached === null ? null : kept(1 - reached)],
    ["effective density", kept(f("effective_density"))],
    ["weights kept", f("weights_kept") === null ? null : `${amount(f("weights_kept"))} of ${amount(f("weights_total"))}`],
    ["ties at the threshold", tied === null ? null : `${amount(tied)}, of which ${amount(f("kept_of_tied"))} kept`],
    ["scores of exactly 0", amount(f("zero_scores"))], ["scoring rounds", f("rounds")], ["scored in", cell.scored],
    ["gradient norm", f("gradient_norm_after") === null ? null : `${f("gradient_norm_before")} before, ${f("gradient_norm_after")} after`],
    ["mask", cell.mask ? `${cell.mask}…` : ""],
  ]);
};
const outcome = cell => {
  const f = name => study.fact(name)(cell), share = (a, b) => f(a) === null ? null : `${amount(f(a))}${f(b) ? ` (${(100 * f(a) / f(b)).toPrecision(3)} % of dense)` : ""}`;
  return list([
    ["test top-1", f("top1") === null ? null : `${f("top1")} %`], ["test top-5", f("top5") === null ? null : `${f("top5")} %`], ["test loss", f("loss")],
    ["parameters", share("parameters_pruned", "parameters_dense")], ["FLOPs of one image", share("flops_pruned", "flops_dense")],
  ]);
};
const cost = cell => {
  const f = name => study.fact(name)(cell), time = name => f(name) === null ? null : duration(f(name));
  return list([
    ["scoring", time("scoring_seconds")], ["peak while scoring", f("scoring_peak_bytes") ? bytes(f("scoring_peak_bytes")) : null],
    ["training", time("training_seconds")], ["whole cell", time("wall_seconds")],
  ]);
};
const detail = cell => {
  const parts = make("div", { class: "parts" }), { data } = study;
  const has = (title, made) => { if (made.childElementCount) parts.append(part(title, made)); };
  if (cell.parent) parts.append(part("Ablation", make("p", {}, `${cell.ablation} of `, make("a", { href: `#cell=${cell.parent.slice(0, 16)}` }, "its plain cell"))));
  if (cell.message) parts.append(part("What happened", make("p", {}, cell.kind ? `${cell.kind}: ${cell.message}` : cell.message)));
  if (cell.flags.length) parts.append(part("Flags", list(cell.flags.map(f => [f[2], f[1]]))));
  if (cell.traceback) parts.append(part("Traceback", make("pre", { tabindex: 0 }, cell.traceback)));
  if (cell.status === "missing") parts.append(part("What happened", make("p", {}, "This cell has no record: it has not been run to its end.")));
  has("Result", outcome(cell));
  if (cell.sparsity && cell.facts.some(v => v !== null)) has("Mask receipt", receipt(cell));
  if (cell.curve.length) parts.append(part("Training loss (solid) and top-1 (dashed)", curve(cell.curve)));
  has("Cost", cost(cell));
  has("Metrics", list(data.facts.slice(data.own).map((name, i) => [name.replaceAll("_", " ").replaceAll(".", ": "), cell.facts[data.own + i]])));
  if (cell.kept.length) parts.append(part("Layer densities", layers(cell)));
  has("Environment", list([["cell of", `seed ${cell.seed}`], ...Object.entries(cell.environment), ["finished", cell.created]]));
  return make("td", { colspan: study.columns.length }, parts, part("Run it again", make("pre", { class: "rerun", tabindex: 0 }, cell.rerun)),
    make("small", {}, make("a", { href: `#cell=${cell.key.slice(0, 16)}` }, "link to this cell"), ` · key ${cell.key}`));
};
