// Edit a pose by dragging. value: {width, height, points: [[x, y, present], …], chosen, gesture}, in pixels of a picture of that
// size; chosen: whether somebody chose or edited the pose; gesture: changes with each step that can be undone.
// props.start: start of the slider, points in the same pixels; props.background: address of a picture, or "".
// constants.layout: {names, partner, connections, colors, parents: for each point the index of the point it hangs on, −1 for
// none; empty: limbs have no length to keep}; constants.caption; constants.interpolates: whether there is a slider.
// Triggers 'moved' when points change, at most once in INTERVAL while a point is dragged.
const SVG = "http://www.w3.org/2000/svg";
const INTERVAL = 120; // milliseconds
const MAX_UNDO = 100;
const REACH = 4.5; // percent of the picture's longer side: how far beside a point one may grab it
const HANDLES = { move: "whole figure: move", turn: "whole figure: rotate", size: "whole figure: scale" };
const { layout } = constants;
const { parents } = layout;
const stage = element.querySelector(".stage");
const hint = element.querySelector(".hint");
const tools = element.querySelector(".tools");
const HELP = "Drag a point, or inside of the dashed frame to move all of it.";
const MISSING = " A pale point is missing: drag it where it belongs, or leave it.";

let undone = [], history = [];
let goal = null; // right end of the slider
let svg, lines, joints, list, box, drag = null, current = 0, lastSent = 0, later = 0, steps = 0;

const make = (name, attributes, parent) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.appendChild(node);
  return node;
};
const copy = (points) => points.map((point) => [...point]);
const color = (k) => `rgb(${layout.colors[k].join(",")})`;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const names = [...layout.names, ...Object.values(HANDLES)];
const handle = (k) => Object.keys(HANDLES)[k - layout.names.length];
const unit = () => Math.max(props.value.width, props.value.height) / 100;

function build() {
  const { width, height } = props.value;
  const dot = clamp(25 / layout.names.length, 0.7, 1.4) * unit(); // smaller with dozens of points
  stage.replaceChildren();
  svg = make("svg", { viewBox: `-0.5 -0.5 ${width} ${height}`, role: "group", "aria-label": constants.caption }, stage);
  make("rect", { class: "picture", x: -0.5, y: -0.5, width, height }, svg); // no point goes beyond it
  if (props.background) {
    make("image", { href: props.background, x: -0.5, y: -0.5, width, height, preserveAspectRatio: "none" }, svg);
  }
  box = make("rect", { class: "box" }, svg);
  lines = layout.connections.map(([, end]) => make("line", { class: "connection", stroke: color(end), "stroke-width": unit() }, svg));
  joints = names.map((name, k) => {
    const kind = handle(k);
    const node = make("g", { class: kind ? "joint handle" : "joint", tabindex: k === current ? 0 : -1, role: "button" }, svg);
    node.setAttribute(kind ? "data-handle" : "data-joint", kind ?? k);
    make("circle", { class: "grip", r: REACH * unit() }, node);
    make("circle", { class: "dot", r: kind ? 1.2 * unit() : dot, fill: kind ? "none" : color(k) }, node);
    const radius = kind ? 1.2 * unit() : dot;
    node.style.setProperty("--ring", `${0.6 * radius}px`);
    node.style.setProperty("--focused", `${1.4 * radius}px`);
    node.addEventListener("keydown", (event) => press(event, k));
    node.addEventListener("focus", () => choose(k));
    return node;
  });
  svg.addEventListener("touchstart", hold, { passive: false });
  svg.addEventListener("pointerdown", begin);
  svg.addEventListener("pointermove", follow);
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
  const [left, top, right, bottom] = bounds(points);
  for (const [key, value] of [["x", left], ["y", top], ["width", right - left], ["height", bottom - top]]) box.setAttribute(key, value);
  const corners = { move: [left, bottom], turn: [right, top], size: [right, bottom] };
  joints.forEach((node, k) => {
    const [x, y, present] = handle(k) ? [...corners[handle(k)], 1] : points[k];
    node.setAttribute("transform", `translate(${x} ${y})`);
    node.classList.toggle("missing", !present);
    node.setAttribute("aria-label", describe(k));
  });
}

// Box around the present points, inside of the picture so that its corners can be grabbed.
function bounds(points) {
  const { width, height } = props.value;
  const present = points.filter((point) => point[2]);
  const [x, y] = [0, 1].map((axis) => present.map((point) => point[axis]));
  const far = 5 * unit(), near = 2 * unit();
  return [
    clamp(Math.min(...x) - far, near, width - near), clamp(Math.min(...y) - far, near, height - near),
    clamp(Math.max(...x) + far, near, width - near), clamp(Math.max(...y) + far, near, height - near),
  ];
}

function describe(k) {
  if (handle(k)) return names[k];
  const [x, y, present] = props.value.points[k];
  return `${names[k]}: ${present ? `x ${x.toFixed(1)}, y ${y.toFixed(1)}` : "missing"}`;
}

function show(points) {
  props.value = { ...props.value, points, chosen: true, gesture: `${steps}` };
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
  steps = Date.now();
  undone = [];
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

// Of overlapping points, take the nearest one, not the one drawn last; null: there is none within reach.
function nearest([x, y]) {
  const distances = props.value.points.map(([u, v]) => Math.hypot(u - x, v - y));
  const closest = Math.min(...distances);
  return closest <= REACH * unit() ? distances.indexOf(closest) : null;
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
  return [clamp(at.x, 0, props.value.width - 1), clamp(at.y, 0, props.value.height - 1)];
}

// Moves of the whole figure

function middle(points) {
  const present = points.filter((point) => point[2]);
  return [0, 1].map((axis) => present.reduce((sum, point) => sum + point[axis], 0) / Math.max(present.length, 1));
}

const shifted = (points, dx, dy, which = () => true) =>
  points.map(([x, y, p], k) => (which(k) ? [x + dx, y + dy, p] : [x, y, p]));

function turned(points, angle, [cx, cy] = middle(points), which = () => true) {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return points.map(([x, y, p], k) =>
    which(k) ? [cx + c * (x - cx) - s * (y - cy), cy + s * (x - cx) + c * (y - cy), p] : [x, y, p]);
}

function scaled(points, factor) {
  const [cx, cy] = middle(points);
  return points.map(([x, y, p]) => [cx + (x - cx) * factor, cy + (y - cy) * factor, p]);
}

// Moves of one point

const hangsOn = (k, root) => {
  for (let at = k; at >= 0; at = parents[at]) if (at === root) return true;
  return false;
};

// Move point k to a place, or toward it where limbs keep their lengths: what hangs on it comes along, and the end of a chain of
// two limbs, as a wrist or an ankle, bends the joint between them.
function pulled(points, k, to) {
  if (!parents.length || !keep.checked) return points.map((point, j) => (j === k ? [...to, 1] : [...point]));
  const [x, y, present] = points[k], parent = parents[k];
  const below = (j) => hangsOn(j, k);
  if (!present || parent < 0 || !points[parent][2]) {
    const moved = shifted(points, to[0] - x, to[1] - y, below);
    moved[k][2] = 1;
    return moved;
  }
  const first = parents[parent];
  const ends = !parents.includes(k) && first >= 0 && parents[first] >= 0 && points[first][2];
  if (ends) return bent(points, first, parent, k, to);
  const [u, v] = points[parent];
  return turned(points, Math.atan2(to[1] - v, to[0] - u) - Math.atan2(y - v, x - u), [u, v], below);
}

function bent(points, first, between, k, to) {
  const [a, b, c] = [first, between, k].map((j) => points[j]);
  const upper = Math.hypot(b[0] - a[0], b[1] - a[1]), lower = Math.hypot(c[0] - b[0], c[1] - b[1]);
  const far = clamp(Math.hypot(to[0] - a[0], to[1] - a[1]), Math.abs(upper - lower) + 1e-6, upper + lower);
  const toward = Math.atan2(to[1] - a[1], to[0] - a[0]);
  const side = Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) || 1;
  const cosine = (upper ** 2 + far ** 2 - lower ** 2) / (2 * upper * far || 1);
  const opened = toward - side * Math.acos(clamp(cosine, -1, 1));
  const moved = copy(points);
  moved[between].splice(0, 2, a[0] + upper * Math.cos(opened), a[1] + upper * Math.sin(opened));
  moved[k].splice(0, 2, a[0] + far * Math.cos(toward), a[1] + far * Math.sin(toward));
  return moved;
}

// Dragging

// A finger beside the figure scrolls the page.
function grabs(at, target) {
  const [left, top, right, bottom] = bounds(props.value.points);
  const inside = at[0] >= left && at[0] <= right && at[1] >= top && at[1] <= bottom;
  return inside || Boolean(target.closest("[data-handle]")) || nearest(at) !== null;
}

function hold(event) {
  if (event.cancelable && grabs(place(event.touches[0]), event.target)) event.preventDefault(); // else the page scrolls already
}

function begin(event) {
  const at = place(event);
  if (event.pointerType === "touch" && !grabs(at, event.target)) return;
  event.preventDefault();
  const grabbed = event.target.closest("[data-handle]")?.dataset.handle;
  const k = grabbed ? joints.findIndex((node) => node.dataset.handle === grabbed) : nearest(at);
  if (k !== null) joints[k].focus({ preventScroll: true });
  remember();
  drag = { k, kind: k === null ? "move" : handle(k), at, from: copy(props.value.points) };
  svg.setPointerCapture(event.pointerId);
}

function follow(event) {
  if (!drag) return;
  const to = place(event), { at, from, kind, k } = drag;
  const center = middle(from);
  const angle = ([x, y]) => Math.atan2(y - center[1], x - center[0]);
  const far = ([x, y]) => Math.hypot(x - center[0], y - center[1]);
  const actions = {
    move: () => shifted(from, to[0] - at[0], to[1] - at[1]),
    turn: () => turned(from, angle(to) - angle(at)),
    size: () => scaled(from, Math.max(far(to), unit()) / Math.max(far(at), unit())),
  };
  show(kind ? actions[kind]() : pulled(from, k, to));
  hint.textContent = describe(k ?? joints.findIndex((node) => node.dataset.handle === "move"));
  send(false);
}

function end() {
  if (!drag) return;
  drag = null;
  settle();
  send(true);
}

// Keys

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function press(event, k) {
  const next = { PageDown: k + 1, PageUp: k - 1, Home: 0, End: joints.length - 1 }[event.key];
  if (next !== undefined) {
    event.preventDefault();
    joints[(next + joints.length) % joints.length].focus({ preventScroll: true });
    return;
  }
  const points = pressed(event, k);
  if (!points) return;
  event.preventDefault();
  remember();
  show(points);
  settle();
  send(false);
  hint.textContent = describe(k);
}

// The pose after a key; null: the key does nothing.
function pressed(event, k) {
  const { width, height, points } = props.value;
  if (event.key === "Delete" || event.key === "Backspace") {
    return handle(k) ? null : points.map(([x, y, p], j) => [x, y, j === k ? (p ? 0 : 1) : p]);
  }
  if (!(event.key in ARROWS)) return null;
  const far = event.shiftKey ? 8 : 1;
  const step = Math.max(1, Math.round(Math.max(width, height) / 128)) * far;
  const [x, y] = ARROWS[event.key];
  if (handle(k) === "move") return shifted(points, x * step, y * step);
  if (handle(k) === "turn") return turned(points, (x + y) * far * Math.PI / 180);
  if (handle(k) === "size") return scaled(points, 1.01 ** ((x - y) * far));
  const [u, v] = points[k];
  return pulled(points, k, [clamp(u + x * step, 0, width - 1), clamp(v + y * step, 0, height - 1)]);
}

element.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
  event.preventDefault();
  if (event.shiftKey) redo();
  else undo();
});

// Buttons

function help() {
  hint.textContent = HELP + (props.value.points.every(([, , present]) => present) ? "" : MISSING);
}

function exchange(from, to, nothing) {
  if (!from.length) {
    hint.textContent = nothing;
    return;
  }
  to.push(copy(props.value.points));
  steps = Date.now();
  show(from.pop());
  settle();
  send(true);
  help();
}

const undo = () => exchange(history, undone, "There is nothing to undo.");
const redo = () => exchange(undone, history, "There is nothing to redo.");

function mirror() {
  const { width, points } = props.value;
  change(layout.partner.map((k) => [width - 1 - points[k][0], points[k][1], points[k][2]]));
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

button("Undo", "Undo the last change (Ctrl+Z)", undo);
button("Redo", "Redo what was undone (Ctrl+Shift+Z)", redo);
button("Mirror", "Exchange left and right", mirror);
if (constants.interpolates) button("Copy from source", "Take the pose of the source", () => change(copy(props.start)));
const keep = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
if (parents.length) labeled("Keep limb lengths", keep);
list = document.createElement("select");
names.forEach((name, k) => list.add(new Option(name, k)));
list.addEventListener("change", () => {
  choose(Number(list.value));
  hint.textContent = `${describe(current)}. Press Shift+Tab to reach it.`;
});
labeled("Point", list);
let slider = null;
if (constants.interpolates) {
  slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: 100, value: 100 });
  slider.addEventListener("pointerdown", remember);
  slider.addEventListener("input", interpolate);
  slider.addEventListener("change", () => send(true));
  labeled("From source pose to this one", slider);
}

let frame = "";

// A pose that was loaded can be undone, unless it belongs to another picture.
function renew() {
  if (!props.value) { // mounted before its value has come
    setTimeout(renew, 50);
    return;
  }
  const { width, height, points } = props.value;
  const before = frame, shown = goal;
  frame = `${width}×${height} ${props.background}`;
  if (frame !== before) {
    [history, undone] = [[], []];
    build(); // else the points stay, with the focus and what is being dragged
  } else if (JSON.stringify(shown) !== JSON.stringify(points)) history.push(shown);
  draw();
  settle();
  help();
}

watch(["value", "background"], renew);
renew();
