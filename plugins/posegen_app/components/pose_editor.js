// Edit a pose by dragging. value: {width, height, points: [[x, y, present], …]}, in pixels of a picture of that size.
// props.start: start of the slider, points in the same pixels; props.layout: {names, partner, connections, colors};
// props.background: address of a picture, or "".
// Triggers 'moved' when points change, at most once in INTERVAL while a point is dragged.
const SVG = "http://www.w3.org/2000/svg";
const INTERVAL = 120; // milliseconds
const MAX_UNDO = 100;
const layout = props.layout;
const stage = element.querySelector(".stage");
const hint = element.querySelector(".hint");
const tools = element.querySelector(".tools");
const HELP = "Drag a point. Keys: Page Up and Page Down select a point, arrow keys move it (with Shift: further), Delete marks it missing or present.";

let history = [];
let goal = null; // right end of the slider
let svg, lines, joints, list, dragged = null, current = 0, lastSent = 0, later = 0;

const make = (name, attributes, parent) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.appendChild(node);
  return node;
};
const copy = (points) => points.map((point) => [...point]);
const color = (k) => `rgb(${layout.colors[k].join(",")})`;

function build() {
  const { width, height } = props.value;
  const unit = Math.max(width, height) / 100;
  const dot = Math.min(Math.max(25 / layout.names.length, 0.7), 1.4) * unit; // smaller with dozens of points
  stage.replaceChildren();
  svg = make("svg", { viewBox: `-0.5 -0.5 ${width} ${height}`, role: "group", "aria-label": props.caption }, stage);
  if (props.background) {
    make("image", { href: props.background, x: -0.5, y: -0.5, width, height, preserveAspectRatio: "none" }, svg);
  }
  lines = layout.connections.map(([, end]) => make("line", { class: "connection", stroke: color(end), "stroke-width": unit }, svg));
  joints = layout.names.map((name, k) => {
    const joint = make("g", { class: "joint", tabindex: k === current ? 0 : -1, role: "button", "data-joint": k }, svg);
    make("circle", { class: "grip", r: 4.5 * unit }, joint);
    make("circle", { class: "dot", r: dot, fill: color(k) }, joint);
    joint.style.setProperty("--ring", `${0.6 * dot}px`);
    joint.style.setProperty("--focused", `${1.4 * dot}px`);
    joint.addEventListener("pointerdown", (event) => begin(event));
    joint.addEventListener("keydown", (event) => press(event, k));
    joint.addEventListener("focus", () => choose(k));
    return joint;
  });
  svg.addEventListener("pointermove", drag);
  svg.addEventListener("pointerup", end);
  svg.addEventListener("pointercancel", end);
}

function draw() {
  const { points } = props.value;
  layout.connections.forEach(([from, to], k) => {
    const [a, b] = [points[from], points[to]];
    lines[k].setAttribute("visibility", a[2] && b[2] ? "visible" : "hidden");
    for (const [key, value] of [["x1", a[0]], ["y1", a[1]], ["x2", b[0]], ["y2", b[1]]]) lines[k].setAttribute(key, value);
  });
  joints.forEach((joint, k) => {
    joint.setAttribute("transform", `translate(${points[k][0]} ${points[k][1]})`);
    joint.classList.toggle("missing", !points[k][2]);
    joint.setAttribute("aria-label", describe(k));
  });
}

function describe(k) {
  const [x, y, present] = props.value.points[k];
  return `${layout.names[k]}: ${present ? `x ${x.toFixed(1)}, y ${y.toFixed(1)}` : "missing"}`;
}

function show(points) {
  props.value = { ...props.value, points };
  draw();
}

function send(now) {
  clearTimeout(later);
  const wait = INTERVAL - (performance.now() - lastSent);
  if (!now && wait > 0) {
    later = setTimeout(() => send(true), wait);
    return;
  }
  lastSent = performance.now();
  trigger("moved");
}

function remember() {
  history.push(copy(props.value.points));
  if (history.length > MAX_UNDO) history.shift();
}

// Tab reaches one point only: with dozens of points nobody could tab past them.
function choose(k) {
  joints[current].setAttribute("tabindex", -1);
  joints[current].classList.remove("current");
  current = k;
  joints[k].setAttribute("tabindex", 0);
  joints[k].classList.add("current");
  list.value = k;
  hint.textContent = describe(k);
}

// Of overlapping points, take the nearest one, not the one drawn last.
function nearest(event) {
  const [x, y] = place(event);
  const distances = props.value.points.map(([u, v]) => Math.hypot(u - x, v - y));
  return distances.indexOf(Math.min(...distances));
}

// Make the current pose the right end of the slider.
function settle() {
  goal = copy(props.value.points);
  if (slider) slider.value = 100;
}

function change(points) {
  remember();
  show(points);
  settle();
  send(true);
}

function place(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const { width, height } = props.value;
  return [Math.min(Math.max(at.x, 0), width - 1), Math.min(Math.max(at.y, 0), height - 1)];
}

function begin(event) {
  event.preventDefault();
  const k = nearest(event);
  joints[k].focus({ preventScroll: true });
  remember();
  dragged = k;
  svg.setPointerCapture(event.pointerId);
}

function drag(event) {
  if (dragged === null) return;
  const points = copy(props.value.points);
  points[dragged] = [...place(event), 1];
  show(points);
  hint.textContent = describe(dragged);
  send(false);
}

function end() {
  if (dragged === null) return;
  dragged = null;
  settle();
  send(true);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function press(event, k) {
  const next = { PageDown: k + 1, PageUp: k - 1, Home: 0, End: joints.length - 1 }[event.key];
  if (next !== undefined) {
    event.preventDefault();
    joints[(next + joints.length) % joints.length].focus({ preventScroll: true });
    return;
  }
  const { width, height, points: before } = props.value;
  const points = copy(before);
  if (event.key in ARROWS) {
    const step = Math.max(1, Math.round(Math.max(width, height) / 128)) * (event.shiftKey ? 8 : 1);
    const [x, y] = ARROWS[event.key];
    points[k][0] = Math.min(Math.max(points[k][0] + x * step, 0), width - 1);
    points[k][1] = Math.min(Math.max(points[k][1] + y * step, 0), height - 1);
    points[k][2] = 1;
  } else if (event.key === "Delete" || event.key === "Backspace") {
    points[k][2] = points[k][2] ? 0 : 1;
  } else {
    return;
  }
  event.preventDefault();
  remember();
  show(points);
  settle();
  send(false);
  hint.textContent = describe(k);
}

function undo() {
  if (!history.length) {
    hint.textContent = "There is nothing to undo.";
    return;
  }
  show(history.pop());
  settle();
  send(true);
}

function mirror() {
  const { width, points } = props.value;
  change(layout.partner.map((k) => [width - 1 - points[k][0], points[k][1], points[k][2]]));
}

function scale(factor) {
  const { points } = props.value;
  const present = points.filter((point) => point[2]);
  if (!present.length) return;
  const middle = [0, 1].map((axis) => present.reduce((sum, point) => sum + point[axis], 0) / present.length);
  change(points.map(([x, y, p]) => [middle[0] + (x - middle[0]) * factor, middle[1] + (y - middle[1]) * factor, p]));
}

function interpolate() {
  const { start } = props;
  const t = slider.value / 100;
  show(goal.map(([x, y, p], k) => {
    const [a, b, q] = start[k];
    if (!(p && q)) return [x, y, p]; // missing in one of them
    return [a + (x - a) * t, b + (y - b) * t, 1];
  }));
  send(false);
}

function button(name, title, action) {
  const node = document.createElement("button");
  node.type = "button";
  node.textContent = name;
  node.title = title;
  node.addEventListener("click", action);
  tools.appendChild(node);
}

function labeled(text, control) {
  const label = document.createElement("label");
  label.append(text, control);
  tools.appendChild(label);
}

list = document.createElement("select");
layout.names.forEach((name, k) => list.add(new Option(name, k)));
list.addEventListener("change", () => {
  choose(Number(list.value));
  hint.textContent = `${describe(current)}. Press Shift+Tab to reach it.`;
});
labeled("Point", list);
button("Undo", "Undo the last change", undo);
button("Mirror", "Exchange left and right", mirror);
button("Smaller", "Shrink the pose about its center", () => scale(1 / 1.08));
button("Larger", "Enlarge the pose about its center", () => scale(1.08));
let slider = null;
if (props.interpolates) {
  button("Source pose", "Reset to the pose of the source", () => change(copy(props.start)));
  slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: 100, value: 100 });
  slider.addEventListener("pointerdown", remember);
  slider.addEventListener("input", interpolate);
  slider.addEventListener("change", () => send(true));
  labeled("From source pose to this one", slider);
}

function renew() {
  history = [];
  build();
  draw();
  settle();
  hint.textContent = HELP;
}

watch(["value", "background"], renew);
renew();
