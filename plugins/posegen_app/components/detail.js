// Bring the viewer what it asked for by 'sharpen'.
// value: null, or {models: [null, or {result, source}: addresses of PNGs, …], key: that of the viewer's value}.
watch("value", () => {
  if (props.value) document.querySelector("#viewer .panels").dispatchEvent(new CustomEvent("detail", { detail: props.value }));
});
