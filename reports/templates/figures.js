// each figure can be taken away as SVG and as PDF, in its light colours
for (const caption of document.querySelectorAll("figcaption[data-file]")) {
  const name = caption.dataset.file, file = fileName(`${caption.closest("section")?.id || ""}-${name}`), drawing = () => caption.closest("figure").querySelector("svg");
  const button = (label, act) => {
    const made = make("button", { type: "button", class: `save-${label.toLowerCase()}`, "aria-label": `Save the figure ${name} as ${label}` }, label);
    made.addEventListener("click", act);
    return made;
  };
  caption.append(make("span", { class: "save" },
    button("SVG", () => save(`${file}.svg`, "image/svg+xml", svgText(drawing()))),
    button("PDF", async () => save(`${file}.pdf`, "application/pdf", await pdfBytes(drawing(), name)))));
}

const svgText = svg => {
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("font-family", "sans-serif");
  return new XMLSerializer().serializeToString(copy).replaceAll("currentColor", "#1b1f24").replaceAll("var(--grid)", "#e3e7eb");
};
