"use strict";
// The settings, the link that holds them, and how the page begins.

const takeFirst = tries(async (files) => {
  const file = [...files].find((one) => one.type.startsWith("image/")) || files[0];
  if (!file) throw new Error("That was not a file. Save the picture first, then open it here.");
  await take(file);
  $("prepare").scrollIntoView({ block: "nearest" });
});
const takeExample = tries(async (number) => {
  await take(await (await ask("examples/" + number)).blob());
  await draw();
});

// Settings ---------------------------------------------------------------------------------------

function set({ tau, guidance, match_input }) {
  $("greedy").checked = tau === "inf";
  if (tau !== "inf") $("tau").value = tau;
  $("guidance").value = guidance;
  $("match").checked = match_input;
  explain();
}

// Shows whether the settings are the paper's, and what they do.
function explain() {
  const now = settings();
  $("tau").disabled = $("greedy").checked;
  const are = (kept) => ["tau", "guidance", "match_input"].every((name) => String(kept[name]) === String(now[name]));
  $("paper").checked = are(about.paper);
  const guided = Number(now.guidance) > 0;
  $("manner").textContent = [
    are(about.best) && !are(about.paper) && "Recommended for this model.",
    guided && `Guidance ${now.guidance}: the input counts ${1 + Number(now.guidance)} times as much as in the paper.`,
    now.match_input && "Matching: each finished sample is changed just enough to reduce to the input again.",
    guided || now.match_input
      ? "Colours and shapes agree with the input; samples vary less."
      : "No guidance or matching, as in the paper: samples vary more and may drift away from the input.",
  ].filter(Boolean).join(" ");
}

$("paper").onchange = () => set($("paper").checked ? about.paper : about.best);
for (const id of ["tau", "guidance", "match", "greedy"]) $(id).addEventListener("input", explain);

// The link ---------------------------------------------------------------------------------------

// It holds the few pixels of the input, and nothing else of the picture.
function holdInLink(input, all) {
  const x = btoa(String.fromCharCode(...input)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  const { tau, guidance, match_input, samples, seed } = all;
  const held = new URLSearchParams({ x, tau, guidance, match: match_input, samples, seed });
  $("link").href = `?model=${model}#${held}`;
  history.replaceState(null, "", $("link").href);
  $("copy").textContent = "Copy link";
  $("copy").hidden = !(navigator.clipboard && navigator.clipboard.writeText);
}

async function openLink() {
  const held = new URLSearchParams(location.hash.slice(1));
  if (!held.has("x")) return;
  let input;
  try {
    input = bytes(held.get("x").replace(/-/g, "+").replace(/_/g, "/"));
  } catch (error) {
    input = [];
  }
  if (input.length !== about.low_size ** 2 * about.channels) {
    throw new Error("This link is broken or belongs to another model.");
  }
  // Links of version 0.2 say "end" and "off".
  const match_input = ["true", "end"].includes(held.get("match"));
  set({ tau: held.get("tau"), guidance: held.get("guidance"), match_input });
  $("num_samples").value = held.get("samples");
  $("seed").value = held.get("seed");
  if (!$("settings").checkValidity()) throw new Error("This link contains settings that cannot be used.");
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = about.low_size;
  put(canvas, input, 0);
  await take(await new Promise((done) => canvas.toBlob(done)));
  await draw();
}

$("copy").onclick = tries(async () => {
  await navigator.clipboard.writeText($("link").href);
  $("copy").textContent = "Copied";
});
window.addEventListener("hashchange", tries(openLink));

// The page ---------------------------------------------------------------------------------------

$("open").onclick = () => $("file").click();
$("camera").onclick = tries(openCamera);
$("shoot").onclick = tries(shoot);
$("leave").onclick = closeCamera;
$("find").onclick = tries(findFace);
$("settings").onsubmit = (event) => { event.preventDefault(); tries(draw)(); };
$("settings").addEventListener("invalid", () => { $("more").open = true; }, true); // to be seen
for (const input of [$("file"), $("capture")]) {
  input.onchange = () => { if (input.files.length) takeFirst([...input.files]); input.value = ""; };
}
document.addEventListener("paste", (event) => {
  if (about && event.clipboardData.files.length) takeFirst(event.clipboardData.files); // not text into a field
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (about) takeFirst(event.dataTransfer.files);
});
window.addEventListener("pagehide", () => { if (drawing) giveUp(drawing); });

// While the model compiles, until somebody draws.
async function waitUntilReady() {
  for (let now = about; !now.ready && !turns; now = await request("about")) {
    say("The model is getting ready. This takes a few seconds; you can already choose a picture.", null);
    await pause(500);
  }
  if (!turns) say("");
}

tries(async () => {
  const models = await request("models");
  model = new URLSearchParams(location.search).get("model") || models[0];
  for (const name of models) {
    const link = document.createElement("a");
    link.href = "?model=" + name;
    link.textContent = name;
    if (name === model) link.setAttribute("aria-current", "page");
    $("models").append(link);
  }
  $("models").hidden = models.length === 1;
  if (!models.includes(model)) throw new Error(`This page has no model "${model}". Choose ${models.join(" or ")}.`);
  api += model + "/";
  about = await request("about");
  makeTable();
  set(about.best);
  $("as_in_the_paper").hidden = JSON.stringify(about.best) === JSON.stringify(about.paper);
  $("num_samples").max = about.max_samples;
  for (const button of [$("open"), $("camera")]) button.disabled = false;
  $("about").textContent = `From ${about.low_size} x ${about.low_size} pixels, the model draws ` +
    `${about.size} x ${about.size}, one value at a time. Everything it adds is invented.`;
  about.examples.forEach((name, number) => {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.src = api + "examples/" + number;
    image.alt = button.title = name;
    button.append(image);
    button.onclick = () => takeExample(number);
    $("examples").append(button);
  });
  $("examples").hidden = !about.examples.length;
  if (location.hash) await openLink();
  else await waitUntilReady();
})();
