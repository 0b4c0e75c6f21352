const SVG = "http://www.w3.org/2000/svg", root = document.documentElement;
const $ = id => document.getElementById(id);

// an element with attributes and children; text only ever enters as text
const make = (tag, attributes = {}, ...children) => {
  const element = attributes.svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (key !== "svg") element.setAttribute(key, value);
  element.append(...children.filter(child => child !== ""));
  return element;
};
const save = (name, type, data) => {
  const link = make("a", { href: URL.createObjectURL(new Blob([data], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
const fileName = text => text.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+|-+$/g, "") || "pabench";

// what follows the # is the state of the page, or the name of a section
const parameters = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

// light and dark
const storedTheme = () => { try { return localStorage.getItem("pabench-theme"); } catch { return null; } };
const theme = parameters().get("theme") || storedTheme();
if (theme === "light" || theme === "dark") root.dataset.theme = theme;
const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
$("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  $("theme").setAttribute("aria-pressed", String(isDark()));
  const state = parameters();
  if (state.has("theme")) { // a link's theme must not come back over the reader's
    state.delete("theme");
    history.replaceState(null, "", state.size ? `#${state}` : location.pathname + location.search);
  }
  try { localStorage.setItem("pabench-theme", root.dataset.theme); } catch { /* a page without storage forgets it */ }
});
$("theme").setAttribute("aria-pressed", String(isDark()));

// paper cannot be clicked: what is folded is opened for it
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => { for (const details of folded) details.open = false; });

// a text on the page as a file
for (const button of document.querySelectorAll(".save-text")) {
  const [name, type] = button.dataset.file.split(/\.(?=[^.]*$)/);
  button.addEventListener("click", () => save(`${fileName(name)}.${type}`, "text/plain", $(button.dataset.from).textContent));
}

// a text on the page to the clipboard
const said = make("p", { class: "unseen", role: "status" });
document.body.append(said);
const copied = async text => {
  try { await navigator.clipboard.writeText(text); } catch { // not allowed, or an old browser: by way of a selection
    const field = make("textarea", { class: "unseen" }, text);
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
};
for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", async () => {
  await copied($(button.dataset.from).textContent);
  said.textContent = `Copied: ${button.textContent}`;
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 2000);
});
