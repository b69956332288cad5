// Take files that are dropped on the page: over the target as a target, elsewhere as a source. constants.has_points: whether a target
// can be a file.
const cover = element.querySelector(".drop");
const TARGETS = "#pose-editor, #pose-files, #targets";
const aim = (event) => {
  const onTarget = constants.has_points && document.elementFromPoint(event.clientX, event.clientY)?.closest(TARGETS);
  return onTarget ? ["#pose-files", "Drop as the target"] : ["#source-files", "Drop as the source"];
};
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  cover.hidden = false;
  cover.querySelector("span").textContent = aim(event)[1];
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) cover.hidden = true; });
document.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  cover.hidden = true;
  const button = document.querySelector(aim(event)[0]);
  const input = button.previousElementSibling; // Gradio places it so
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
