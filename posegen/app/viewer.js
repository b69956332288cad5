// Result and source beside each other, and where a point of the result comes from.
// value: null, or {width, height, layers: {caption: address of a PNG}}
// props.origins: {levels: [{title, text, cell, place, source, taps: [[x, y, weight], …]}, …]}, coarse to fine, or null.
// Tells 'point' with x and y, in pixels of the result.
const SVG = "http://www.w3.org/2000/svg";
const find = (name) => element.querySelector(`.${name}`);
let layer = "result", level = -1, at = null;

const make = (name, attributes, parent) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.appendChild(node);
  return node;
};

function picture(parent, address) {
  const { width, height } = props.value;
  parent.replaceChildren();
  const svg = make("svg", { viewBox: `-0.5 -0.5 ${width} ${height}` }, parent);
  make("image", { href: address, x: -0.5, y: -0.5, width, height, preserveAspectRatio: "none" }, svg);
  return svg;
}

function toggles(parent, names, chosen, choose) {
  const focused = [...parent.children].indexOf(document.activeElement); // survives that the buttons are made anew
  parent.replaceChildren(...names.map((name, k) => {
    const node = document.createElement("button");
    node.type = "button";
    node.textContent = name;
    node.setAttribute("aria-pressed", k === chosen);
    node.addEventListener("click", () => choose(k));
    return node;
  }));
  parent.children[focused]?.focus({ preventScroll: true });
}

function chosenLevel() {
  const levels = props.origins?.levels ?? [];
  return levels.length ? levels[Math.min(level < 0 ? levels.length - 1 : level, levels.length - 1)] : null;
}

function ring(svg, [x, y], radius, dash) {
  for (const [stroke, width] of [["#000", 3], ["#fff", 1.5]]) {
    make("circle", { cx: x, cy: y, r: radius, fill: "none", stroke, "stroke-width": width,
      "vector-effect": "non-scaling-stroke", ...dash }, svg);
  }
}

function explain(result, source) {
  const { width } = props.value;
  if (at) ring(result, at, width / 40, {});
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
  find("told").replaceChildren(...(props.origins?.levels ?? []).map((one) => {
    const line = document.createElement("p");
    const title = document.createElement("strong");
    title.textContent = `${one.title}: `;
    line.append(title, one.text);
    return line;
  }));
  if (!props.origins) find("told").textContent = "Click a point of the result: where in the source does it come from?";
  if (props.origins?.text) find("told").textContent = props.origins.text;
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

function render() {
  if (!props.value) {
    find("told").textContent = "The result stands here once there is a source and a pose.";
    return;
  }
  const { layers } = props.value;
  const names = Object.keys(layers).filter((name) => name !== "source");
  if (!names.includes(layer)) layer = "result";
  toggles(find("layers"), names, names.indexOf(layer), (k) => { layer = names[k]; render(); });
  find("shown").textContent = layer;
  const result = picture(find("result"), layers[layer]);
  const source = picture(find("source"), layers.source);
  explain(result, source);
  describe();
  const titles = (props.origins?.levels ?? []).map((one) => one.title);
  const chosen = level < 0 ? titles.length - 1 : Math.min(level, titles.length - 1);
  toggles(find("levels"), titles.length > 1 ? titles : [], chosen, (k) => { level = k; render(); });
  find("downloads").replaceChildren("Download: ", ...Object.entries(layers).map(([name, address]) => {
    const link = document.createElement("a");
    link.href = address;
    link.download = `${name.replaceAll(" ", "_")}.png`;
    link.textContent = name;
    return link;
  }));
}

function ask(x, y) {
  const { width, height } = props.value;
  at = [Math.min(Math.max(x, 0), width - 1), Math.min(Math.max(y, 0), height - 1)];
  trigger("point", { x: at[0], y: at[1] });
}

find("result").addEventListener("click", (event) => {
  const svg = find("result").querySelector("svg");
  if (!svg) return;
  const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  ask(place.x, place.y);
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
find("result").addEventListener("keydown", (event) => {
  if (!(event.key in ARROWS) || !props.value) return;
  event.preventDefault();
  const { width, height } = props.value;
  const [x, y] = at ?? [width / 2, height / 2];
  const step = Math.max(1, Math.round(width / 64)) * (event.shiftKey ? 4 : 1);
  ask(x + ARROWS[event.key][0] * step, y + ARROWS[event.key][1] * step);
});

watch(["value", "origins"], render);
render();
