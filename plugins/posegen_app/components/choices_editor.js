// Choose classes. value: {numbers: [number of the class for each choice, …], chosen: whether somebody chose them}
// constants.choices: [[name, [names of its classes]], …]; constants.caption; props.drawn: address of a drawing of the chosen
// structure.
// Triggers 'moved' when a number changes, at most once in INTERVAL while a slider is dragged.
const INTERVAL = 120; // milliseconds
let lastSent = 0, later = 0, rows = [];

function send() {
  clearTimeout(later);
  const wait = INTERVAL - (performance.now() - lastSent);
  if (wait > 0) {
    later = setTimeout(send, wait);
    return;
  }
  lastSent = performance.now();
  trigger("moved");
}

function choose(k, number) {
  const count = constants.choices[k][1].length;
  const numbers = [...props.value.numbers];
  numbers[k] = (number + count) % count;
  props.value = { numbers, chosen: true };
  draw();
  send();
}

function step(label, k, by) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = by < 0 ? "−" : "+";
  button.setAttribute("aria-label", `${label}: ${by < 0 ? "previous" : "next"}`);
  button.addEventListener("click", () => choose(k, props.value.numbers[k] + by));
  return button;
}

function build() {
  element.querySelector(".choices-editor").setAttribute("aria-label", constants.caption);
  rows = constants.choices.map(([name, classes], k) => {
    const choice = document.createElement("div");
    const label = document.createElement("label");
    const slider = document.createElement("input");
    const shown = document.createElement("output");
    const row = document.createElement("div");
    choice.className = "choice";
    row.className = "row";
    slider.id = `${element.id || constants.caption}-${k}`.replaceAll(" ", "-");
    label.htmlFor = slider.id;
    Object.assign(slider, { type: "range", min: 0, max: classes.length - 1, step: 1 });
    slider.addEventListener("input", () => choose(k, Number(slider.value)));
    label.append(name, shown);
    row.append(step(name, k, -1), slider, step(name, k, 1));
    choice.append(label, row);
    return { choice, slider, shown };
  });
  element.querySelector(".sliders").replaceChildren(...rows.map((row) => row.choice));
}

function draw() {
  if (!props.value) { // mounted before its value has come
    setTimeout(draw, 50);
    return;
  }
  rows.forEach(({ slider, shown }, k) => {
    const name = constants.choices[k][1][props.value.numbers[k]];
    slider.value = props.value.numbers[k];
    slider.setAttribute("aria-valuetext", name);
    shown.textContent = name;
  });
  const picture = element.querySelector(".drawn");
  picture.src = props.drawn;
  picture.alt = constants.choices.map(([name, classes], k) => `${name} ${classes[props.value.numbers[k]]}`).join(", ");
}

watch(["value", "drawn"], draw);
build();
draw();
