// Show a message where its cause is. value: null, or {text, error: whether something was refused}.
const parent = element.querySelector(".note");

function render() {
  parent.textContent = props.value?.text ?? "";
  parent.classList.toggle("error", Boolean(props.value?.error));
}

watch("value", render);
render();
