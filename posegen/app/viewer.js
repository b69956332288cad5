// Result and source beside each other, and where a point of the result comes from.
// value: null, or {models: [{name, width, height, layers: {caption: address of a PNG}}, …]}, of one input.
// props.origins: null, or for each model {levels: [{title, text, cell, place, source, taps: [[x, y, weight], …]}, …]},
// coarse to fine; props.answered: the number of the 'point' they answer. props.hovered: null, or {number, x, y, origins} of
// a 'hover'. props.files: {name of a JSON file: what it holds}. props.archive: a zip file as base64, or null.
// Tells 'point', for good, and 'hover', while the mouse is there, each with x and y, as shares of the result's width and
// height, and a number; and 'archive' when a zip file is wanted.
const SVG = "http://www.w3.org/2000/svg";
const PATIENCE = 10000; // milliseconds, after which an answer is not waited for any more
const find = (name) => element.querySelector(`.${name}`);
let layer = "result", level = -1, at = null, model = 0;
let pixel = null, mouse = null; // the pixel that the mouse was last in; where it is, as shares, while that is explained
let fresh = 0; // answers to hovering with a smaller number are of another visit, or of another result
const chosen = () => props.value.models[model];
const hovered = () => (mouse && props.hovered?.number >= fresh ? props.hovered : null);
const origins = () => (hovered() ?? props).origins?.[model] ?? null;

// Asks, once at a time; of the points that come meanwhile the last one is asked for next. (Gradio's own "always_last" would
// send the first one's place again.)
function asker(event) {
  let next = null, since = -Infinity, number = 0;
  const send = () => {
    since = performance.now();
    trigger(event, { x: next[0], y: next[1], number: ++number });
    next = null;
  };
  return {
    ask(point) {
      next = point;
      if (performance.now() - since > PATIENCE) send();
    },
    answered() {
      since = -Infinity;
      if (next) send();
    },
    forget: () => { next = null; },
    following: () => number + 1,
  };
}
const points = asker("point"), hovers = asker("hover");

const make = (name, attributes, parent) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.appendChild(node);
  return node;
};

function picture(parent, address) {
  const { width, height } = chosen();
  parent.replaceChildren();
  const svg = make("svg", { viewBox: `-0.5 -0.5 ${width} ${height}` }, parent);
  make("image", { href: address, x: -0.5, y: -0.5, width, height, preserveAspectRatio: "none" }, svg);
  return svg;
}

// Buttons that stay are not made anew: one that is being pressed, or has the focus, is not lost.
function toggles(parent, names, chosen, choose) {
  if (names.join() !== [...parent.children].map((node) => node.textContent).join()) {
    parent.replaceChildren(...names.map((name) => {
      const node = document.createElement("button");
      node.type = "button";
      node.textContent = name;
      return node;
    }));
  }
  [...parent.children].forEach((node, k) => {
    node.setAttribute("aria-pressed", k === chosen);
    node.onclick = () => choose(k);
  });
}

function chosenLevel() {
  const levels = origins()?.levels ?? [];
  return levels.length ? levels[Math.min(level < 0 ? levels.length - 1 : level, levels.length - 1)] : null;
}

function ring(svg, [x, y], radius, dash) {
  for (const [stroke, width] of [["#000", 3], ["#fff", 1.5]]) {
    make("circle", { cx: x, cy: y, r: radius, fill: "none", stroke, "stroke-width": width,
      "vector-effect": "non-scaling-stroke", ...dash }, svg);
  }
}

function explain(result, source) {
  const { width, height } = chosen();
  const shown = hovered() ? [props.hovered.x, props.hovered.y] : at;
  if (shown) ring(result, [shown[0] * width - 0.5, shown[1] * height - 0.5], width / 40, {});
  const origin = chosenLevel();
  if (!origin?.source) return;
  const [w, h] = origin.cell;
  const cells = (svg, [x, y], fill, opacity) => make("rect", { x: x - w / 2, y: y - h / 2, width: w, height: h, fill,
    "fill-opacity": opacity, stroke: "#fff", "stroke-width": 1, "vector-effect": "non-scaling-stroke" }, svg);
  cells(result, origin.place, "none", 0);
  const most = Math.max(...origin.taps.map((tap) => tap[2]));
  for (const [x, y, weight] of origin.taps) cells(source, [x, y], "#ff2d95", 0.75 * weight / most).classList.add("tap");
  ring(source, origin.place, width / 60, { "stroke-dasharray": "3 3" });
  arrow(source, origin.place, origin.source, width / 40);
}

function arrow(svg, [x, y], [u, v], head) {
  const angle = Math.atan2(v - y, u - x);
  const side = (turn) => [u - head * Math.cos(angle + turn), v - head * Math.sin(angle + turn)];
  const [[a, b], [c, d]] = [side(0.5), side(-0.5)];
  const path = `M${x} ${y}L${u} ${v}M${a} ${b}L${u} ${v}L${c} ${d}`;
  for (const [stroke, width] of [["#000", 4], ["#ffe14d", 2]]) {
    make("path", { class: "arrow", d: path, fill: "none", stroke, "stroke-width": width,
      "vector-effect": "non-scaling-stroke", "stroke-linecap": "round" }, svg);
  }
}

function describe() {
  const origin = chosenLevel();
  find("told").replaceChildren(...(origins()?.levels ?? []).map((one) => {
    const line = document.createElement("p");
    const title = document.createElement("strong");
    title.textContent = `${one.title}: `;
    line.append(title, one.text);
    return line;
  }));
  if (!origins()) find("told").textContent = "Point at the result, or click it: where in the source does it come from?";
  if (origins()?.text) find("told").textContent = origins().text;
  find("kernel").replaceChildren();
  if (!origin?.taps || origin.taps.length < 2) return;
  const table = document.createElement("table");
  const side = Math.round(Math.sqrt(origin.taps.length));
  const most = Math.max(...origin.taps.map((tap) => tap[2]));
  table.createCaption().textContent = `Kernel, ${side}×${side}, ${origin.title}: per cent of the weight`;
  for (let row = 0; row < side; row++) {
    const line = table.insertRow();
    for (const tap of origin.taps.slice(row * side, (row + 1) * side)) {
      const cell = line.insertCell();
      cell.textContent = (100 * tap[2]).toFixed(tap[2] < 0.0995 ? 1 : 0);
      cell.style.background = `rgba(255, 45, 149, ${(0.75 * tap[2] / most).toFixed(3)})`;
    }
  }
  find("kernel").append(table);
}

// One result beside the other, where there are several: a button each, which chooses whose is shown large.
function renderModels() {
  const { models } = props.value;
  if (models.length < 2) return;
  toggles(find("models"), models.map((one) => one.name), model, (k) => { model = k; render(); });
  [...find("models").children].forEach((node, k) => {
    const image = node.querySelector("img") ?? document.createElement("img");
    Object.assign(image, { src: models[k].layers[layer] ?? models[k].layers.result, alt: "" });
    node.prepend(image);
  });
}

function render() {
  if (!props.value) {
    find("told").textContent = "The result stands here once there is a source and a pose.";
    return;
  }
  model = Math.min(model, props.value.models.length - 1);
  const { layers, name } = chosen();
  const names = Object.keys(layers).filter((name) => name !== "source");
  if (!names.includes(layer)) layer = "result";
  renderModels();
  toggles(find("layers"), names, names.indexOf(layer), (k) => { layer = names[k]; render(); });
  find("shown").textContent = props.value.models.length > 1 ? `${layer}, ${name}` : layer;
  picture(find("result"), layers[layer]);
  picture(find("source"), layers.source);
  renderOrigins();
  renderDownloads(layers);
}

function renderOrigins() {
  if (!props.value) return;
  explain(...["result", "source"].map((name) => {
    const svg = find(name).querySelector("svg");
    svg.querySelector(".origins")?.remove();
    return make("g", { class: "origins" }, svg);
  }));
  find("told").setAttribute("aria-live", hovered() ? "off" : "polite"); // who hovers sees it
  describe();
  const titles = (origins()?.levels ?? []).map((one) => one.title);
  const shown = level < 0 ? titles.length - 1 : Math.min(level, titles.length - 1);
  toggles(find("levels"), titles.length > 1 ? titles : [], shown, (k) => { level = k; renderOrigins(); });
}

function link(name, href) {
  const node = document.createElement("a");
  Object.assign(node, { href, download: name, textContent: name });
  return node;
}

function renderDownloads(layers) {
  const pictures = Object.entries(layers).map(([name, address]) => link(`${name.replaceAll(" ", "_")}.png`, address));
  const texts = Object.entries(props.files ?? {}).map(([name, content]) =>
    link(`${name}.json`, `data:application/json,${encodeURIComponent(JSON.stringify(content))}`));
  const all = document.createElement("button");
  all.type = "button";
  all.textContent = "Everything, as a zip file";
  all.addEventListener("click", () => trigger("archive"));
  const focused = find("downloads").contains(document.activeElement);
  find("downloads").replaceChildren("Download: ", ...pictures, ...texts, all);
  if (focused) all.focus({ preventScroll: true });
}

function saveArchive() {
  if (!props.archive) return;
  const bytes = Uint8Array.from(atob(props.archive), (letter) => letter.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "application/zip" }));
  link("posegen.zip", address).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000); // once the browser has taken it
}

// x and y: shares of the width and the height.
function ask(x, y) {
  hovers.forget();
  at = [x, y].map((share) => Math.min(Math.max(share, 0), 0.999999));
  points.ask(at);
}

function unhover() {
  mouse = null;
  hovers.forget();
  renderOrigins();
}

function hover() {
  fresh = hovers.following();
  hovers.ask(mouse);
}

// Where a mouse or a finger is, as shares of the width and the height; null: there is no result.
function shares(event) {
  const svg = find("result").querySelector("svg");
  if (!svg) return null;
  const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const { width, height } = chosen();
  return [(place.x + 0.5) / width, (place.y + 0.5) / height];
}

find("result").addEventListener("click", (event) => {
  const place = shares(event);
  if (place) ask(...place);
});

find("result").addEventListener("pointermove", (event) => {
  const place = event.pointerType === "mouse" ? shares(event) : null; // a finger does not hover
  if (!place) return;
  const { width, height } = chosen();
  const entered = `${Math.floor(place[0] * width)} ${Math.floor(place[1] * height)}`;
  if (entered === pixel) return;
  pixel = entered;
  if (!place.every((share) => share >= 0 && share < 1)) {
    unhover();
    return;
  }
  const came = !mouse;
  mouse = place;
  if (came) hover();
  else hovers.ask(mouse);
});

find("result").addEventListener("pointerleave", () => {
  pixel = null;
  unhover();
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
find("result").addEventListener("keydown", (event) => {
  if (!(event.key in ARROWS) || !props.value) return;
  event.preventDefault();
  const { width, height } = chosen();
  const [x, y] = at ?? [0.5, 0.5];
  const step = Math.max(1, Math.round(width / 64)) * (event.shiftKey ? 4 : 1);
  ask(x + (ARROWS[event.key][0] * step) / width, y + (ARROWS[event.key][1] * step) / height);
});

watch("answered", () => { points.answered(); unhover(); }); // until the mouse moves on
watch(["value", "origins", "files"], render);
watch("value", () => { if (mouse) hover(); }); // the result has changed under the mouse
watch("hovered", () => { hovers.answered(); renderOrigins(); });
watch("archive", saveArchive);
render();
