// A figure as PDF: vector paths, images as they are, letters as outlines (from the page's own table, so that every
// publisher takes the file: nothing refers to a font). It reads what our figures consist of and no other SVG.
const round = v => String(+(+v).toFixed(3));
const cm = m => [m.a, m.b, m.c, m.d, m.e, m.f].map(v => String(+v.toFixed(5))).join(" ") + " cm";

// a path's commands, all absolute, as PDF operators; a quadratic curve becomes a cubic one
const outline = d => {
  const found = [], words = (d || "").match(/[A-Za-z]|-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?/g) || [];
  let at = [0, 0], start = [0, 0], letter = "", i = 0;
  while (i < words.length) {
    if (/[A-Za-z]/.test(words[i])) letter = words[i++];
    if (letter === "Z" || letter === "z") { found.push("h"); at = start; continue; }
    const p = words.slice(i, i += { M: 2, L: 2, Q: 4, C: 6 }[letter]).map(Number), end = p.slice(-2);
    if (letter === "M") { found.push(`${p.map(round).join(" ")} m`); start = end; letter = "L"; }
    else if (letter === "L") found.push(`${p.map(round).join(" ")} l`);
    else {
      const third = (a, b) => a + 2 / 3 * (b - a);
      const c = letter === "C" ? p : [third(at[0], p[0]), third(at[1], p[1]), third(end[0], p[0]), third(end[1], p[1]), ...end];
      found.push(`${c.map(round).join(" ")} c`);
    }
    at = end;
  }
  return found.join("\n");
};

const pdfBytes = async (svg, title) => {
  const glyphs = JSON.parse($("glyphs").textContent), { width, height } = svg.viewBox.baseVal;
  const content = [], states = [], pictures = [];
  const rgb = text => (text.match(/[\d.]+/g) || []).slice(0, 3).map(v => round(v / 255)).join(" ");
  const bounds = list => Array.from({ length: list.numberOfItems }, (_, i) => list.getItem(i).matrix);
  const moved = (element, matrix) => element.transform ? bounds(element.transform.baseVal).reduce((m, own) => m.multiply(own), matrix) : matrix;
  const opacity = (fill, stroke) => {
    const state = `<< /ca ${round(fill)} /CA ${round(stroke)} >>`;
    if (!states.includes(state)) states.push(state);
    return `/G${states.indexOf(state)} gs`;
  };

  // `style` is the element's own, `shape` what it draws: a marker has its stroke in its definition, its fill where it is used
  const paint = (path, style, matrix) => {
    const fill = style("fill"), stroke = style("stroke"), whole = +style("opacity");
    const filled = fill !== "none" && fill !== "", stroked = stroke !== "none" && stroke !== "" && parseFloat(style("stroke-width")) > 0;
    if (!path || !filled && !stroked) return;
    content.push("q", cm(matrix), opacity(whole * style("fill-opacity"), whole * style("stroke-opacity")));
    if (filled) content.push(`${rgb(fill)} rg`);
    if (stroked) {
      const dashes = style("stroke-dasharray");
      content.push(`${rgb(stroke)} RG`, `${round(parseFloat(style("stroke-width")))} w`,
        `${{ round: 1, square: 2 }[style("stroke-linecap")] || 0} J`, `${{ round: 1, bevel: 2 }[style("stroke-linejoin")] || 0} j`,
        `[${dashes === "none" ? "" : dashes.match(/[\d.]+/g).map(round).join(" ")}] ${round(parseFloat(style("stroke-dashoffset")) || 0)} d`);
    }
    const rule = style("fill-rule") === "evenodd" ? "*" : "";
    content.push(outline(path), filled ? (stroked ? `B${rule}` : `f${rule}`) : "S", "Q");
  };
  const text = (element, matrix) => {
    const look = getComputedStyle(element), size = parseFloat(element.getAttribute("font-size") || look.fontSize);
    const face = glyphs[+look.fontWeight >= 600 ? "bold" : "regular"] || glyphs.regular, letters = [...element.textContent].map(c => face[c]).filter(Boolean);
    const wide = letters.reduce((sum, [advance]) => sum + advance, 0) * size / 1000;
    let x = +(element.getAttribute("x") || 0) - wide * ({ middle: 0.5, end: 1 }[look.textAnchor] || 0);
    content.push("q", cm(matrix), opacity(+look.opacity * look.fillOpacity, 1), `${rgb(look.fill)} rg`);
    for (const [advance, d] of letters) {
      const s = size / 1000, at = { a: s, b: 0, c: 0, d: -s, e: x, f: +(element.getAttribute("y") || 0) };
      if (d) content.push("q", cm(at), outline(d), "f", "Q");
      x += advance * s;
    }
    content.push("Q");
  };
  const image = (element, matrix) => {
    const picture = decoded.get(element);
    const canvas = make("canvas", { width: picture.naturalWidth, height: picture.naturalHeight }), brush = canvas.getContext("2d");
    brush.drawImage(picture, 0, 0);
    const { data } = brush.getImageData(0, 0, canvas.width, canvas.height), pixels = data.length / 4;
    const colors = new Uint8Array(3 * pixels), mask = new Uint8Array(pixels);
    for (let i = 0; i < pixels; i++) { colors.set(data.subarray(4 * i, 4 * i + 3), 3 * i); mask[i] = data[4 * i + 3]; }
    const [x, y, w, h] = ["x", "y", "width", "height"].map(name => parseFloat(element.getAttribute(name) || 0));
    content.push("q", cm(matrix), cm({ a: w, b: 0, c: 0, d: -h, e: x, f: y + h }), `/I${pictures.length} Do`, "Q");
    pictures.push({ width: canvas.width, height: canvas.height, colors, mask });
  };
  const walk = (element, outer) => {
    const matrix = moved(element, outer), clip = (element.getAttribute("clip-path") || "").match(/#([^)"]+)/);
    if (clip) {
      const shape = svg.querySelector(`#${CSS.escape(clip[1])}`).firstElementChild, value = name => +(shape.getAttribute(name) || 0);
      const path = shape.localName === "rect" ? `${["x", "y", "width", "height"].map(name => round(value(name))).join(" ")} re` : outline(shape.getAttribute("d"));
      const m = cm(matrix), inverse = cm(matrix.inverse());
      content.push("q", m, path, "W n", inverse);
    }
    const own = getComputedStyle(element), name = element.localName;
    if (name === "path") paint(element.getAttribute("d"), property => own.getPropertyValue(property), matrix);
    else if (name === "text") text(element, matrix);
    else if (name === "image") image(element, matrix);
    else if (name === "use") {
      const shape = svg.querySelector(`#${CSS.escape(element.getAttribute("href").slice(1))}`), defined = getComputedStyle(shape);
      const at = moved(shape, matrix.translate(+(element.getAttribute("x") || 0), +(element.getAttribute("y") || 0)));
      paint(shape.getAttribute("d"), property => (shape.hasAttribute(property) ? defined : own).getPropertyValue(property), at);
    } else if (name === "svg" || name === "g") for (const child of element.children) walk(child, matrix);
    if (clip) content.push("Q");
  };

  const decoded = new Map();
  for (const element of svg.querySelectorAll("image")) {
    const picture = new Image();
    picture.src = element.getAttribute("href");
    await picture.decode();
    decoded.set(element, picture);
  }
  const before = root.dataset.theme;
  root.dataset.theme = "light";
  try {
    walk(svg, new DOMMatrix([1, 0, 0, -1, 0, height]));
  } finally {
    if (before) root.dataset.theme = before; else delete root.dataset.theme;
  }
  return assemble(content.join("\n"), states, pictures, width, height, title);
};

const assemble = async (content, states, pictures, width, height, title) => {
  const encode = text => Uint8Array.from(text, c => c.charCodeAt(0)), objects = [];
  const deflated = async bytes => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"))).arrayBuffer());
  const stream = async (head, bytes) => {
    const packed = await deflated(bytes);
    objects.push([encode(`<< ${head} /Filter /FlateDecode /Length ${packed.length} >>\nstream\n`), packed, encode("\nendstream")]);
    return objects.length;
  };
  const plain = text => { objects.push([encode(text)]); return objects.length; };
  const names = [];
  for (const [i, { width: w, height: h, colors, mask }] of pictures.entries()) {
    const head = `/Type /XObject /Subtype /Image /Width ${w} /Height ${h} /BitsPerComponent 8`;
    const soft = await stream(`${head} /ColorSpace /DeviceGray`, mask);
    names.push(`/I${i} ${await stream(`${head} /ColorSpace /DeviceRGB /SMask ${soft} 0 R`, colors)} 0 R`);
  }
  const drawn = await stream("", encode(content)), pages = objects.length + 2;
  const resources = `<< /ExtGState << ${states.map((state, i) => `/G${i} ${state}`).join(" ")} >> /XObject << ${names.join(" ")} >> >>`;
  const one = plain(`<< /Type /Page /Parent ${pages} 0 R /MediaBox [0 0 ${round(width)} ${round(height)}] /Contents ${drawn} 0 R /Resources ${resources} >>`);
  plain(`<< /Type /Pages /Kids [${one} 0 R] /Count 1 >>`);
  const catalog = plain(`<< /Type /Catalog /Pages ${pages} 0 R >>`);
  const utf16 = [...Array(title.length).keys()].map(i => title.charCodeAt(i).toString(16).padStart(4, "0")).join("");
  const info = plain(`<< /Title <feff${utf16}> >>`);
  const parts = [encode("%PDF-1.4\n")], places = [];
  let length = parts[0].length;
  const add = bytes => { parts.push(bytes); length += bytes.length; };
  objects.forEach((object, i) => {
    places.push(length);
    add(encode(`${i + 1} 0 obj\n`)); object.forEach(add); add(encode("\nendobj\n"));
  });
  const table = length, line = place => `${String(place).padStart(10, "0")} 00000 n \n`;
  add(encode(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${places.map(line).join("")}trailer\n<< /Size ${objects.length + 1} /Root ${catalog} 0 R /Info ${info} 0 R >>\nstartxref\n${table}\n%%EOF\n`));
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
};
