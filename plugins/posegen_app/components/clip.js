// Show the progress of a clip with a button that stops it, and the clip.
// value: null, or {done, of, what: is done to the frames, clip: its number}, or {video: data address of an MP4 file, caption,
// poses: content of clip.json or null, clip}. props.stopped: clips with smaller numbers are stopped; what they sent before may
// still arrive, and is ignored. Triggers 'stop'.
const find = (selector) => element.querySelector(selector);
const video = find("video"), progress = find("progress"), stop = find(".stop");
let address = null;

function link(name, href) {
  const node = document.createElement("a");
  Object.assign(node, { href, download: name, textContent: name });
  return node;
}

async function show(value) {
  const blob = await (await fetch(value.video)).blob(); // not every player supports data addresses
  if (props.value !== value) return;
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(blob);
  video.src = address;
  video.hidden = false;
  video.addEventListener("loadeddata", () => video.scrollIntoView({ block: "nearest" }), { once: true });
  video.setAttribute("aria-label", value.caption);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) video.play().catch(() => {}); // the browser may refuse; there are controls
  find(".text").textContent = value.caption;
  const links = [link("clip.mp4", address)];
  if (value.poses) links.push(link("clip.json", `data:application/json,${encodeURIComponent(JSON.stringify(value.poses))}`));
  find(".downloads").replaceChildren("Download: ", ...links);
}

function render() {
  const value = props.value?.clip < props.stopped ? null : props.value;
  find(".work").hidden = stop.disabled = value?.of === undefined;
  find(".downloads").replaceChildren();
  find(".text").textContent = value ? "" : "No clip yet.";
  if (value?.of !== undefined) {
    Object.assign(progress, { max: value.of, value: value.done });
    find(".text").textContent = value.what ? `${value.what} ${value.done} of ${value.of}` : "Starting …";
  }
  if (value?.video) show(value);
  else {
    video.hidden = true;
    video.pause();
  }
}

stop.addEventListener("click", () => {
  stop.disabled = true;
  trigger("stop");
});
watch(["value", "stopped"], render);
render();
