// A clip while it is made, and when it is there.
// value: null, or {done, of, clip: its number}, or {video: MP4 as base64, caption, poses: what clip.json holds, or null}.
// props.stopped: clips with smaller numbers are not made any more; what was told of them may come after that.
const find = (selector) => element.querySelector(selector);
const video = find("video"), progress = find("progress");
let address = null;

function link(name, href) {
  const node = document.createElement("a");
  Object.assign(node, { href, download: name, textContent: name });
  return node;
}

function show(value) {
  const bytes = Uint8Array.from(atob(value.video), (letter) => letter.charCodeAt(0));
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" })); // not every player takes data: addresses
  video.src = address;
  video.setAttribute("aria-label", value.caption);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) video.play().catch(() => {}); // the reader has controls
  find(".told").textContent = value.caption;
  const links = [link("clip.mp4", address)];
  if (value.poses) links.push(link("clip.json", `data:application/json,${encodeURIComponent(JSON.stringify(value.poses))}`));
  find(".downloads").replaceChildren("Download: ", ...links);
}

function render() {
  const value = props.value?.clip < props.stopped ? null : props.value;
  progress.hidden = value?.of === undefined;
  video.hidden = !value?.video;
  find(".downloads").replaceChildren();
  find(".told").textContent = value ? "" : "No clip yet.";
  if (value?.of !== undefined) {
    Object.assign(progress, { max: value.of, value: value.done });
    find(".told").textContent = `Frame ${value.done} of ${value.of}`;
  }
  if (value?.video) show(value);
  else video.pause();
}

watch(["value", "stopped"], render);
render();
