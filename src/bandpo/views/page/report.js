"use strict";
// Draws what the page carries in the colours of its theme, and shows what is known of the token that is pointed at.

const FIGURES = JSON.parse(document.getElementById("figures").textContent);
const VALUES = JSON.parse(document.getElementById("tokens-data").textContent);
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

// "@ink" -> the theme's ink, "@0~" -> its first colour, let through, "@heat" -> its scale.
function coloured(value, key = "") {
  if (Array.isArray(value)) return value.map((each) => coloured(each, key));
  if (value !== null && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, coloured(each, name)]));
  if (typeof value !== "string" || !/color(scale)?$/.test(key) || value[0] !== "@") return value;
  const name = value.slice(1).replace("~", "");
  const found = getComputedStyle(root).getPropertyValue("--" + (/^\d/.test(name) ? "c" + name : name)).trim();
  if (key === "colorscale") return found.split(",").map((colour, at, all) => [at / (all.length - 1), colour.trim()]);
  return value.endsWith("~") ? found + "2e" : found;
}

// Of a fixed width on paper, where the page is laid out only after it was drawn.
function draw(width) {
  for (const [id, figure] of Object.entries(FIGURES)) {
    const { data, layout } = coloured(figure);
    const size = width === undefined ? {} : { width, height: document.getElementById(id).clientHeight };
    Plotly.react(id, data, { ...layout, ...size }, { displayModeBar: false, responsive: true });
  }
}

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
const button = document.getElementById("theme");
function name() {
  button.textContent = isDark() ? "Light page" : "Dark page";
}
button.hidden = false;
button.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  name();
  draw();
});
system.addEventListener("change", () => {
  name();
  draw();
});

// Tokens: p, ratio, advantage and the share of the gradient that was kept.
const texts = [...document.querySelectorAll(".sequence")];
const tip = document.getElementById("tip");
const largest = Math.max(0, ...VALUES.flatMap(({ tokens }) => tokens.map(([, , a]) => Math.abs(a ?? 0))));
const step = (size, edges) => edges.filter((edge) => size >= edge).length;
const sided = (value, level) => (value > 0 ? "u" : "d") + " m" + level;
const LOOKS = {
  region: () => "",
  p: ([p]) => "d m" + step(1 - p, [0.5, 0.8, 0.95, 0.99]),
  ratio: ([, r]) => sided(Math.log(r), step(Math.abs(Math.log(r)), [0.02, 0.1, 0.3, 1])),
  advantage: ([, , a]) => sided(a, a === 0 || largest === 0 ? 0 : Math.min(4, Math.ceil((4 * Math.abs(a)) / largest))),
  kept: ([, , , k]) => (k > 1.001 ? "u m2" : "d m" + (k > 0.999 ? 0 : k === 0 ? 4 : Math.max(1, Math.ceil(4 * (1 - k)) - 1))),
};

function paint(mode) {
  root.dataset.mode = mode;
  texts.forEach((text, at) => tokensOf(text).forEach((token, n) => {
    token.classList.remove("u", "d", "m0", "m1", "m2", "m3", "m4");
    const look = LOOKS[mode](VALUES[at].tokens[n]).split(" ").filter(Boolean);
    if (!look.includes("m0")) token.classList.add(...look);
  }));
  document.querySelectorAll(".keys").forEach((key) => { key.hidden = key.dataset.mode !== mode; });
}

const tokensOf = (text) => [...text.querySelectorAll(".t")];
const written = (value, digits = 3) => (value === null ? "–" : Number(value.toPrecision(digits)).toString().replace("-", "−"));

function describe(at, n) {
  const [p, ratio, advantage, kept] = VALUES[at].tokens[n];
  const share = kept === 0 ? "stopped: no gradient left" : `gradient kept ${written(100 * kept)} %`;
  const reward = VALUES[at].reward === null ? "" : `, reward ${written(VALUES[at].reward)}`;
  return `p ${written(p)}, ratio ${written(ratio)}\nadvantage ${written(advantage)}${reward}\n${share}`;
}

let current = null;
function mark(token) {
  if (current) {
    current.classList.remove("at");
    current.removeAttribute("id");
    current.setAttribute("aria-selected", "false");
    current.closest(".sequence").removeAttribute("aria-activedescendant");
  }
  current = token;
  tip.hidden = token === null;
  if (token === null) return;
  const text = token.closest(".sequence"), at = texts.indexOf(text), n = tokensOf(text).indexOf(token);
  token.id = "current-token";
  token.classList.add("at");
  token.setAttribute("aria-selected", "true");
  token.setAttribute("aria-label", `${token.textContent}: ${describe(at, n)}`);
  text.setAttribute("aria-activedescendant", token.id);
  tip.textContent = describe(at, n);
  const box = token.getClientRects()[0], width = tip.offsetWidth, height = tip.offsetHeight;
  const below = box.bottom + 10 + height < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - width - 8))}px`;
  tip.style.top = `${below ? box.bottom + 10 : Math.max(8, box.top - height - 10)}px`;
}

const MOVES = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -1e9, End: 1e9 };
for (const text of texts) {
  if (tokensOf(text).length > 60) text.classList.add("long");
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return mark(null);
    if (!(event.key in MOVES)) return;
    event.preventDefault();
    const all = tokensOf(text), place = Math.max(0, all.indexOf(current)) + MOVES[event.key];
    mark(all[Math.max(0, Math.min(all.length - 1, place))]);
    current.scrollIntoView({ block: "nearest" });
    mark(current);
  });
  // The most interesting token first: one that was stopped.
  text.addEventListener("focus", () => mark(text.contains(current) ? current : text.querySelector(".stopped, .less") ?? text.querySelector(".t")));
  text.addEventListener("blur", () => mark(null));
  text.addEventListener("pointerover", (event) => event.target.closest(".t") && mark(event.target.closest(".t")));
  text.addEventListener("pointerdown", (event) => event.target.closest(".t") && mark(event.target.closest(".t")));
  text.addEventListener("pointerleave", () => document.activeElement !== text && mark(null));
}
// What was reached by keyboard keeps its numbers beside it.
addEventListener("scroll", () => mark(current?.closest(".sequence") === document.activeElement ? current : null), { passive: true });
document.querySelector(".modes")?.addEventListener("change", (event) => paint(event.target.value));
document.querySelector(".modes")?.addEventListener("submit", (event) => event.preventDefault());

// On paper everything is open, in the light theme, two charts beside each other.
const PAPER = 325;
let closed = [], before;
addEventListener("beforeprint", () => {
  before = root.dataset.theme;
  root.dataset.theme = "light";
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach((each) => { each.open = true; });
  mark(null);
  draw(PAPER);
});
addEventListener("afterprint", () => {
  closed.forEach((each) => { each.open = false; });
  if (before === undefined) delete root.dataset.theme;
  else root.dataset.theme = before;
  draw();
});

name();
draw();
root.classList.add("drawn");
