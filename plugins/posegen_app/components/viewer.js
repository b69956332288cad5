// Show result and source side by side, and the origin of a point of the result.
// value: null, or {models: [{name, width, height, layers: {caption: address of a PNG}}, …]}, all of one input.
// props.origins: null, or for each model {levels: [{title, text, cell, place, source, taps: [[x, y, weight], …]}, …]},
// coarse to fine; props.answered: number of the 'point' request they answer. props.hovered: null, or {number, x, y, origins},
// the answer to a 'hover' request. props.files: {name of a JSON file: content}. props.archive: data address of a zip file, or
// null. Triggers 'point' (a click) and 'hover' (the mouse rests there), each with x and y, as fractions of the result's width
// and height, and a number; and 'archive' to request a zip file.
const SVG = "http://www.w3.org/2000/svg";
const PATIENCE = 10000; // milliseconds after which a request counts as unanswered
const find = (name) => element.querySelector(`.${name}`);
let layer = "result", level = -1, at = null, model = 0;
let pixel = null, mouse = null; // last pixel under the mouse; its position, as fractions, while it is explained
let fresh = 0; // hover answers with a smaller number belong to an earlier visit or result
const chosen = () => props.value.models[model];
const hovered = () => (mouse && props.hovered?.number >= fresh ? props.hovered : null);
const origins = () => (hovered() ?? props).origins?.[model] ?? null;

// Send one request at a time; of the points that arrive meanwhile, the last one is sent next. (Gradio's "always_last" would send
// the first one's position again.)
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

// Keep unchanged buttons, so that pressing and focus are not interrupted.
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
  find("text").replaceChildren(...(origins()?.levels ?? []).map((one) => {
    const line = document.createElement("p");
    const title = document.createElement("strong");
    title.textContent = `${one.title}: `;
    line.append(title, one.text);
    return line;
  }));
  if (!origins()) find("text").textContent = "Point at the result or click it to see where in the source it comes from.";
  if (origins()?.text) find("text").textContent = origins().text;
  find("kernel").replaceChildren();
  if (!origin?.taps || origin.taps.length < 2) return;
  const table = document.createElement("table");
  const side = Math.round(Math.sqrt(origin.taps.length));
  const most = Math.max(...origin.taps.map((tap) => tap[2]));
  table.createCaption().textContent = `Kernel, ${side}×${side}, ${origin.title}: percent of the weight`;
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

// With several models: a row of results, one of which is selected and shown large.
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
    find("text").textContent = "The result appears here when there is a source and a pose.";
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
  find("text").setAttribute("aria-live", hovered() ? "off" : "polite"); // do not read out while hovering
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
  all.textContent = "Everything as a zip file";
  all.addEventListener("click", () => trigger("archive"));
  const focused = find("downloads").contains(document.activeElement);
  find("downloads").replaceChildren("Download: ", ...pictures, ...texts, all);
  if (focused) all.focus({ preventScroll: true });
}

async function saveArchive() {
  if (!props.archive) return;
  const address = URL.createObjectURL(await (await fetch(props.archive)).blob());
  link("posegen.zip", address).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000); // after the browser has read it
}

// x and y: fractions of width and height.
function ask(x, y) {
  hovers.forget();
  at = [x, y].map((one) => Math.min(Math.max(one, 0), 0.999999));
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

// Position of a mouse or finger as fractions of width and height; null without a result.
function fractions(event) {
  const svg = find("result").querySelector("svg");
  if (!svg) return null;
  const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const { width, height } = chosen();
  return [(place.x + 0.5) / width, (place.y + 0.5) / height];
}

find("result").addEventListener("click", (event) => {
  const place = fractions(event);
  if (place) ask(...place);
});

find("result").addEventListener("pointermove", (event) => {
  const place = event.pointerType === "mouse" ? fractions(event) : null; // a finger does not hover
  if (!place) return;
  const { width, height } = chosen();
  const entered = `${Math.floor(place[0] * width)} ${Math.floor(place[1] * height)}`;
  if (entered === pixel) return;
  pixel = entered;
  if (!place.every((one) => one >= 0 && one < 1)) {
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

watch("answered", () => { points.answered(); unhover(); }); // until the mouse moves again
watch(["value", "origins", "files"], render);
watch("value", () => { if (mouse) hover(); }); // the result has changed under the mouse
watch("hovered", () => { hovers.answered(); renderOrigins(); });
watch("archive", saveArchive);
render();
