// Show result and source side by side, a slider from one to the other, and the origin of a point of the result.
// value: null, or {models: [{name, width, height, layers: {caption: address of a PNG}, has_detail}, …], entry: key of the result
// in the history, key: tells the results from others}, all models of one input.
// A DOM event 'detail' brings result and source with the photograph's detail, see detail.js.
// props.origins: null, or for each model {levels: [{title, text, cell, place, source, taps: [[x, y, weight], …]}, …]},
// coarse to fine; props.answered: number of the 'point' request they answer. props.hovered: null, or {number, x, y, origins},
// the answer to a 'hover' request. props.files: {name of a JSON file: content}. props.saved: null, or {name, address} of a file
// to save. props.photograph: null, or {address of the photograph with a result in it, key of this}. props.has_photograph:
// whether there is one. constants.legends: {caption: {text, picture: address or "", swatches: [[color, text], …]}}; layers with
// a legend show data, not pictures, unless it says picture_like.
// Triggers 'point' (a click) and 'hover' (the mouse rests there), each with x and y, as fractions of the result's width and
// height, and a number; 'save' with the name of a file; 'photograph'; 'sharpen'; and 'back' with the entry of an earlier result.
const SVG = "http://www.w3.org/2000/svg";
const PATIENCE = 10000; // milliseconds after which a request counts as unanswered
const MOST_KEPT = 12; // earlier results
const REST = 400; // milliseconds without a new result after which its detail is asked for, so that no drag waits for it
const NEAR = 16; // pixels of the screen around the explained point in which a tap ends its explanation
const LENS = 5; // cells of a level around the kernel that are shown enlarged
const kept = new Map(); // entry: address of the result
const find = (name) => element.querySelector(`.${name}`);
let layer = "result", level = -1, at = null, model = 0;
let pixel = null, mouse = null; // last pixel under the mouse; its position, as fractions, while it is explained
let fresh = 0; // hover answers with a smaller number belong to an earlier visit or result
let resting = 0, detailed = null; // timer; what the last event 'detail' brought
const chosen = () => props.value.models[model];
const sharp = () => (detailed?.key === props.value.key && detailed.models[model]) || null;
const detail = () => (layer === "result" ? sharp() : null);
const photographs = new Map(); // a source as the model sees it: the same with the photograph's detail
// Whether the photograph has the shown result in it.
const hasPhotograph = () => Boolean(props.value && props.photograph?.key === props.value.key);
const original = () => photographs.get(chosen().layers.source) ?? null;
const hovered = () => (mouse && props.hovered?.number >= fresh ? props.hovered : null);
const origins = () => (hovered() ?? (at ? props : null))?.origins?.[model] ?? null;

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
  parent?.appendChild(node);
  return node;
};

const image = (parent, address, data) => {
  const { width, height } = chosen();
  const place = { href: address, x: -0.5, y: -0.5, width, height, preserveAspectRatio: "none" };
  return make("image", data ? { ...place, class: "data" } : place, parent);
};

function picture(parent, address, data) {
  const { width, height } = chosen();
  parent.replaceChildren();
  const svg = make("svg", { viewBox: `-0.5 -0.5 ${width} ${height}` }, parent);
  checks(svg, width / 16);
  image(svg, address, data);
  return svg;
}

// A checkerboard, seen where a picture is transparent.
function checks(svg, side) {
  const { width, height } = chosen();
  const id = `checks-${svg.parentNode.className}`;
  const pattern = make("pattern", { id, width: 2 * side, height: 2 * side, patternUnits: "userSpaceOnUse" }, svg);
  const square = (x, y, size, fill) => make("rect", { x, y, width: size, height: size, fill }, pattern);
  square(0, 0, 2 * side, "#fff");
  for (const place of [0, side]) square(place, place, side, "#d5d8de");
  make("rect", { x: -0.5, y: -0.5, width, height, fill: `url(#${id})` }, svg);
}

// Cover the result by the source, up to the position of the slider.
function compare() {
  const svg = find("result").querySelector("svg");
  svg?.querySelector(".before")?.remove();
  const share = find("compare input").value / 100;
  if (!svg || share <= 0) return;
  const { width, height, layers } = chosen();
  const x = share * width - 0.5;
  const cover = make("svg", { class: "before", x: -0.5, y: -0.5, width: share * width, height, viewBox:
    `-0.5 -0.5 ${share * width} ${height}` });
  svg.insertBefore(cover, svg.querySelector(".origins"));
  image(cover, (detail() && original()) ?? layers.source);
  make("line", { x1: x, x2: x, y1: -0.5, y2: height, stroke: "#fff", "stroke-width": 2, "vector-effect": "non-scaling-stroke" }, cover);
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
  lens(source, origin);
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
  const text = origin ? `${origin.title}: ${origin.text}` : origins()?.text;
  find("text").textContent = text ?? "Point at the result or click it to see where in the source it comes from.";
}

// The kernel, enlarged, in the corner away from where it samples: the source below, the weights over it.
function lens(source, { cell: [w, h], source: [x, y], taps }) {
  if (taps.length < 2) return;
  const { width, height, layers } = chosen();
  const [left, top] = [x - (LENS * w) / 2, y - (LENS * h) / 2];
  const side = 0.4 * Math.min(width, height);
  const frame = { x: x > width / 2 ? -0.5 : width - 0.5 - side, y: y > height / 2 ? -0.5 : height - 0.5 - side };
  const inner = make("svg", { class: "lens", ...frame, width: side, height: side, viewBox:
    `${left} ${top} ${LENS * w} ${LENS * h}`, preserveAspectRatio: "none" }, source);
  make("rect", { x: left, y: top, width: LENS * w, height: LENS * h, fill: "#1f2430" }, inner);
  image(inner, layers.source, true);
  const most = Math.max(...taps.map((tap) => tap[2]));
  for (const [u, v, weight] of taps) {
    const tap = make("rect", { x: u - w / 2, y: v - h / 2, width: w, height: h, fill: "#ff2d95", "fill-opacity": 0.8 * weight / most,
      stroke: "#fff", "stroke-width": 1, "vector-effect": "non-scaling-stroke" }, inner);
    make("title", {}, tap).textContent = `${(100 * weight).toFixed(1)} % of the kernel`;
  }
  make("rect", { ...frame, width: side, height: side, fill: "none", stroke: "#fff", "stroke-width": 2,
    "vector-effect": "non-scaling-stroke" }, source);
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
  renderLegend();
  picture(find("result"), detail()?.result ?? layers[layer], constants.legends[layer] && !constants.legends[layer].picture_like);
  picture(find("source"), original() ?? layers.source);
  find("of-source figcaption").textContent = original() ? "source" : "source as the model sees it";
  find("whole").hidden = !props.has_photograph;
  renderOrigins();
  compare();
  renderHistory();
  renderDownloads(layers);
}

function awaitRest() {
  clearTimeout(resting);
  const wanted = props.value?.models.some((one) => one.has_detail) && detailed?.key !== props.value.key;
  if (wanted) resting = setTimeout(() => trigger("sharpen"), REST);
}

// Show the detail once it is decoded, so that nothing flickers.
async function sharpen({ detail: brought }) {
  const pictures = brought.models.filter(Boolean).map(({ result }) => Object.assign(new Image(), { src: result }));
  await Promise.allSettled(pictures.map((one) => one.decode()));
  detailed = brought;
  if (brought.key === props.value.key) {
    brought.models.forEach((one, k) => one && photographs.set(props.value.models[k].layers.source, one.source));
    while (photographs.size > MOST_KEPT) photographs.delete(photographs.keys().next().value);
  }
  render();
  awaitRest(); // for it may be the detail of a result that is not shown any more
}

function renderLegend() {
  const legend = constants.legends[layer];
  find("legend").replaceChildren();
  if (!legend) return;
  if (legend.picture) find("legend").append(Object.assign(document.createElement("img"), { src: legend.picture, alt: "" }));
  for (const [color, text] of legend.swatches) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = color;
    find("legend").append(swatch, text);
  }
  find("legend").append(legend.text);
}

function renderHistory() {
  const { entry } = props.value;
  kept.set(entry, chosen().layers.result);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  if (kept.size < 2) return;
  find("history").replaceChildren(...[...kept].map(([key, address], k) => {
    const node = document.createElement("button");
    node.type = "button";
    node.setAttribute("aria-label", `Result ${k + 1}`);
    node.setAttribute("aria-pressed", key === entry);
    node.append(Object.assign(document.createElement("img"), { src: address, alt: "" }));
    node.addEventListener("click", () => trigger("back", { entry: key }));
    return node;
  }));
  const parent = find("history"), pressed = parent.querySelector("[aria-pressed=true]");
  parent.scrollLeft = pressed.offsetLeft - parent.offsetLeft - (parent.clientWidth - pressed.clientWidth) / 2;
}

function renderOrigins() {
  if (!props.value) return;
  explain(...["result", "source"].map((name) => {
    const svg = find(name).querySelector("svg");
    svg.querySelector(".origins")?.remove();
    return make("g", { class: "origins" }, svg);
  }));
  find("panels").classList.toggle("explained", Boolean(at)); // a phone shows the source only then
  find("end").hidden = !at;
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

function action(name, title, act) {
  const node = document.createElement("button");
  Object.assign(node, { type: "button", textContent: name, title });
  node.addEventListener("click", act);
  return node;
}

function renderDownloads(layers) {
  const pictures = Object.entries({ ...layers, ...sharp() }).map(([name, address]) => link(`${name.replaceAll(" ", "_")}.png`, address));
  const texts = Object.entries(props.files ?? {}).map(([name, content]) =>
    link(`${name}.json`, `data:application/json,${encodeURIComponent(JSON.stringify(content))}`));
  find("files").replaceChildren(...pictures, ...texts);
}

// Over the page, so that nothing moves below it.
function renderPhotograph() {
  if (!hasPhotograph()) return;
  find("photograph img").src = props.photograph.address;
  Object.assign(find("photograph a"), { href: props.photograph.address, download: "photograph.png" });
  if (!find("photograph").open) find("photograph").showModal();
}

// Once, so that pressing and focus are not interrupted.
function buildDownloads() {
  const save = (name) => () => trigger("save", { name });
  const whole = action("In the whole photograph", "Put the result back into the photograph",
    () => (hasPhotograph() ? renderPhotograph() : trigger("photograph")));
  whole.classList.add("whole");
  const files = document.createElement("details");
  files.innerHTML = '<summary>Single files</summary><div class="files"></div>';
  find("downloads").append(
    action("Save the result", "A PNG with the source and both poses in it: drop it on this page to go on from there",
      save("result.png")),
    action("Everything as a zip file", "Pictures, poses and the clip", save("posegen.zip")), whole, files);
}

async function saveFile() {
  if (!props.saved) return;
  const address = URL.createObjectURL(await (await fetch(props.saved.address)).blob());
  link(props.saved.name, address).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000); // after the browser has read it
}

// x and y: fractions of width and height.
function ask(x, y) {
  hovers.forget();
  at = [x, y].map((one) => Math.min(Math.max(one, 0), 0.999999));
  points.ask(at);
}

function endExplanation() {
  at = null;
  unhover();
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

// Return whether a finger taps the explained point.
function isTapped(event, [x, y]) {
  if (event.pointerType !== "touch" || !at) return false;
  const { width, height } = find("result").querySelector("svg").getBoundingClientRect();
  return Math.hypot((x - at[0]) * width, (y - at[1]) * height) <= NEAR;
}

find("result").addEventListener("click", (event) => {
  const place = fractions(event);
  if (!place) return;
  if (isTapped(event, place)) endExplanation();
  else ask(...place);
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

find("end").addEventListener("click", () => endExplanation());

find("result").addEventListener("pointerleave", () => {
  pixel = null;
  unhover();
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && at) endExplanation();
});
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
watch("value", awaitRest);
find("panels").addEventListener("detail", sharpen);
watch("hovered", () => { hovers.answered(); renderOrigins(); });
watch("saved", saveFile);
watch("has_photograph", render);
watch("photograph", renderPhotograph);
find("photograph").addEventListener("click", ({ target }) => { // of the picture's surroundings, or the button
  if (target === find("photograph") || target.matches("button")) find("photograph").close();
});
find("compare input").addEventListener("input", compare);
buildDownloads();
render();
awaitRest();
