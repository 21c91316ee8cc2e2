"use strict";
// Shows the frames that the page carries: which method, which option, which value. Computes no weights.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SIGNS = ["good", "bad"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const maps = document.getElementById("maps");
const [ROWS, COLUMNS] = DATA.shape;
const unpacked = new Map();
let shown = { name: "", frame: 0 };

// All frames of a method: hundredths, frame by frame, good then bad, row by row.
async function framesOf(name) {
  if (!unpacked.has(name)) {
    const packed = Uint8Array.from(atob(DATA.sheets[name].frames), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    unpacked.set(name, new Int16Array(await new Response(stream).arrayBuffer()));
  }
  return unpacked.get(name);
}

function surface(frames, frame, sign) {
  const start = (2 * frame + sign) * ROWS * COLUMNS;
  return Array.from({ length: ROWS }, (_, row) =>
    Array.from(frames.subarray(start + row * COLUMNS, start + (row + 1) * COLUMNS), (value) =>
      value === DATA.no_value ? null : value / DATA.per_unit));
}

function draw(frames, frame) {
  const theme = DATA.themes[dark.matches ? "dark" : "light"];
  const [weight, beyond, unmoved] = DATA.figure.data;
  const customdata = Array(ROWS).fill(DATA.p);
  SIGNS.forEach((id, sign) => Plotly.react(id, [
    { ...weight, z: surface(frames, frame, sign), customdata, colorscale: theme.scale },
    { ...beyond, fillcolor: theme.veil, line: { ...beyond.line, color: theme.hatch },
      fillpattern: { ...beyond.fillpattern, fgcolor: theme.hatch, bgcolor: theme.veil } },
    { ...unmoved, line: { ...unmoved.line, color: theme.ink } },
  ], { ...DATA.figure.layout, font: { color: theme.ink } }, { displayModeBar: false, responsive: true }));
}

async function show(name, frame) {
  shown = { name, frame };
  const frames = await framesOf(name);
  if (shown.name === name && shown.frame === frame) draw(frames, frame);
}

function open(name) {
  const article = document.getElementById(name);
  document.querySelectorAll("article.current").forEach((other) => other.classList.remove("current"));
  document.querySelectorAll("nav a").forEach((link) => {
    if (link.hash !== "#" + name) return link.removeAttribute("aria-current");
    link.setAttribute("aria-current", "page");
    const list = link.closest(".list"), top = link.offsetTop - list.scrollTop;
    if (top < 0 || top + link.offsetHeight > list.clientHeight) list.scrollTop = link.offsetTop - list.clientHeight / 2;
  });
  article.classList.add("current");
  article.querySelector(".slot").append(maps);
  maps.hidden = false;
  SIGNS.forEach((id) => document.getElementById(id).setAttribute("aria-label", `Map of the weight of ${name}, ${id} token`));
  article.querySelector("form").reset();
  return article;
}

// Puts every option but `moved` back to the authors' value, and says which is moved.
function settle(form, moved) {
  const { knobs } = DATA.sheets[form.closest("article").id];
  let frame = 0;
  for (const knob of knobs) {
    const control = form.elements[knob.name];
    if (control !== moved) control.value = knob.start;
    const index = Number(control.value);
    const label = control.closest("label");
    label.classList.toggle("moved", index !== knob.start);
    const output = label.querySelector("output");
    if (output) output.textContent = knob.labels[index];
    if (output) control.setAttribute("aria-valuetext", knob.labels[index]);
    if (control === moved) frame = knob.frames[index];
  }
  return frame;
}

function filter() {
  const text = document.getElementById("find").value.trim().toLowerCase();
  const family = document.getElementById("family").value;
  let count = 0;
  for (const section of document.querySelectorAll("nav section")) {
    let inside = 0;
    for (const item of section.querySelectorAll("li")) {
      item.hidden = !item.dataset.text.includes(text) || (family !== "" && section.dataset.family !== family);
      inside += !item.hidden;
    }
    section.hidden = inside === 0;
    count += inside;
  }
  document.getElementById("found").textContent = count === 1 ? "1 method" : `${count} methods`;
}

function chosen() {
  const name = decodeURIComponent(location.hash.slice(1));
  return name in DATA.sheets ? name : "band-kl";
}

document.querySelectorAll("form.knobs").forEach((form) => {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => show(form.closest("article").id, settle(form, event.target)));
  // The form has its old values back only after this event.
  form.addEventListener("reset", () => setTimeout(() => show(form.closest("article").id, settle(form, null))));
});
for (const id of ["find", "family"]) document.getElementById(id).addEventListener("input", filter);
addEventListener("hashchange", () => {
  const article = open(chosen());
  article.scrollIntoView({ block: "start" });
  article.querySelector("h2").focus({ preventScroll: true });
});
dark.addEventListener("change", () => show(shown.name, shown.frame));
document.documentElement.classList.add("drawn");
filter();
open(chosen());
