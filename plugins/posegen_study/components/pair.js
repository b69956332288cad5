// Show a pair of images, take the choice and its time.
// value: null, or {message}, or {trial, trials, rater, question, seconds, finished, images}. images: {left, right, source,
// target} as data addresses; missing until 'show' asks for them, so that no image is on the page before Start and after Pause.
// Triggers 'show', 'answer' with {trial, choice, milliseconds}, and 'undo' with {trial}.
const find = (name) => element.querySelector(`.${name}`);
const frames = () => new Promise(requestAnimationFrame);
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const GAP = 500; // milliseconds of empty gray before images with limited display time, so that nobody misses their start
const KEYS = { ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right", u: "undo", p: "pause" };
let screen = "", shownAt = null, hiding = 0, showing = 0; // shownAt: null while no answer is accepted

function enter(name, focus) {
  if (screen === name) return;
  screen = name;
  for (const section of ["begin", "ask", "end"]) find(section).hidden = section !== name;
  if (focus) find(focus).focus();
}

function conceal() {
  shownAt = null;
  showing += 1; // a showing in progress stops
  clearTimeout(hiding);
  find("ask").classList.add("concealed");
}

function begin(title) {
  const { trial, trials, rater, question, seconds } = props.value;
  find("title").textContent = title;
  find("explanation").textContent = `You will see ${trials} pairs of images, one after another. ${question} ` +
    (seconds ? `The images are shown for ${seconds} s; you can answer during that time or later.` : "There is no time limit.");
  find("start").textContent = trial ? "Continue" : "Start";
  find("whose").textContent = `${rater}: ${trial} of ${trials} answered`;
  enter("begin", "title");
}

async function show() {
  const { trial, trials, question, seconds, images } = props.value;
  find("question").textContent = question;
  find("count").textContent = `${trial + 1} of ${trials}`;
  Object.assign(element.querySelector("progress"), { max: trials, value: trial });
  element.querySelector(".ask .undo").disabled = trial === 0;
  find("status").textContent = "";
  enter("ask", "question");
  const mine = showing;
  const shown = [...element.querySelectorAll("img")].filter((image) => image.dataset.shows in images);
  await Promise.all(shown.map((image) => {
    image.src = images[image.dataset.shows];
    if (image.closest("figure")) image.closest("figure").hidden = false;
    return image.decode().catch((error) => { if (mine === showing) throw error; }); // replaced by the next showing
  }));
  const pair = shown.filter((image) => image.closest(".options"));
  const largest = (side) => Math.max(...pair.map((image) => image[side]));
  find("options").style.setProperty("--ratio", largest("naturalWidth") / largest("naturalHeight"));
  find("options").style.setProperty("--height", shown.length > 2 ? "40vh" : "62vh");
  if (seconds) await pause(GAP);
  await frames();
  if (mine !== showing) return;
  find("ask").classList.remove("concealed");
  shownAt = performance.now();
  find("status").textContent = `Pair ${trial + 1} of ${trials}`;
  if (seconds) hiding = setTimeout(() => {
    find("ask").classList.add("concealed");
    find("status").textContent = "Left or right?";
  }, 1000 * seconds);
}

function render() {
  conceal();
  find("message").textContent = props.value?.message ?? "";
  if (!props.value || props.value.message) enter("");
  else if (props.value.finished) enter("end", "thanks");
  else if (props.value.images) show();
  else begin(props.value.question);
}

function act(action) {
  const { trial } = props.value ?? {};
  if (action === "pause" && screen === "ask") {
    conceal();
    props.value = { ...props.value, images: null }; // so that the same pair counts as a change when it comes again
    begin("Paused");
  } else if (action === "show" && screen === "begin") {
    trigger("show");
  } else if (action === "undo" && trial > 0 && (screen === "end" || shownAt !== null)) {
    conceal();
    trigger("undo", { trial: trial - 1 });
  } else if ((action === "left" || action === "right") && shownAt !== null) {
    const milliseconds = Math.round(performance.now() - shownAt);
    conceal();
    trigger("answer", { trial, choice: action, milliseconds });
  }
}

element.addEventListener("click", (event) => act(event.target.closest("[data-action]")?.dataset.action));
document.addEventListener("keydown", (event) => {
  const { repeat, altKey, ctrlKey, metaKey, key } = event;
  const space = key === " " && screen === "begin" && !event.target.closest("button");
  const action = space ? "show" : KEYS[key.length > 1 ? key : key.toLowerCase()];
  if (repeat || altKey || ctrlKey || metaKey || !action) return;
  event.preventDefault();
  act(action);
});
watch("value", render);
render();
