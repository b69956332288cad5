// Choose one of several pictures. props.items: [[address, caption], …]; constants.caption: name of the whole.
// props.chosen: index of the one that is chosen; -1: none.
// Triggers 'chosen' with its index. One stop of the Tab key; arrow keys go from one to the next.
const parent = element.querySelector(".picker");
let reached = 0;

function reach(k, focus) {
  const nodes = [...parent.children];
  nodes.forEach((node, j) => { node.tabIndex = j === k ? 0 : -1; });
  reached = k;
  if (focus) nodes[k].focus();
}

function choose(k) {
  reach(k, false);
  trigger("chosen", { index: k });
}

function press(event) {
  const count = parent.children.length;
  const next = { ArrowRight: reached + 1, ArrowLeft: reached - 1, Home: 0, End: count - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  reach((next + count) % count, true);
}

function mark() {
  [...parent.children].forEach((node, k) => node.setAttribute("aria-pressed", k === props.chosen));
}

function build() {
  parent.setAttribute("aria-label", constants.caption);
  parent.replaceChildren(...props.items.map(([address, caption], k) => {
    const node = document.createElement("button");
    const image = document.createElement("img");
    node.type = "button";
    node.setAttribute("aria-label", caption);
    node.title = caption;
    Object.assign(image, { src: address, alt: "" });
    node.append(image);
    node.addEventListener("click", () => choose(k));
    node.addEventListener("focus", () => reach(k, false));
    return node;
  }));
  parent.onkeydown = press;
  if (props.items.length) reach(0, false);
  mark();
}

watch("items", build);
watch("chosen", mark);
build();
