"use strict";
// A picture is chosen, cut to a square here, reduced and drawn on the server, and shown row by row.

const $ = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const LARGEST = 512; // pixels a side that are sent: the model sees far fewer
const FACE_SIDE = 640; // and to find a face in
let about; // what the server says of the model
let picture = null; // ImageBitmap
let view = null; // of the square on the picture: centre x, y, side in pixels, and turn in radians
let drawing = null; // the id of what is being drawn
let turns = 0; // how often drawing was asked for

// One request; no answer, or an error in words, is thrown.
async function ask(path, options = {}) {
  const signal = AbortSignal.timeout && AbortSignal.timeout(30000); // not in older browsers
  let response;
  try {
    response = await fetch(path, { signal, ...options });
  } catch (error) {
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw Object.assign(new Error(error || `The server answered ${response.status}.`), { status: response.status });
}

const request = async (path, options) => (await ask(path, options)).json();
const giveUp = (id) => ask("/api/pictures/" + id, { method: "DELETE", keepalive: true }).catch(() => {});

function trouble(text) {
  $("trouble").textContent = text ? text[0].toUpperCase() + text.slice(1) : "";
  $("trouble").hidden = !text;
}

// Runs what a person asked for; what goes wrong is said on the page.
const tries = (action) => async (...given) => {
  trouble("");
  try { await action(...given); } catch (error) { $("status").textContent = ""; trouble(error.message); }
};

// Choosing ---------------------------------------------------------------------------------------

async function take(blob) {
  let taken;
  try {
    taken = await createImageBitmap(blob);
  } catch (error) {
    throw new Error("This is no picture that this browser can read.");
  }
  if (Math.min(taken.width, taken.height) < about.low_size) {
    throw new Error(`This picture has ${taken.width} x ${taken.height} pixels; the model wants at least ${about.low_size} x ${about.low_size}.`);
  }
  if (picture) picture.close();
  picture = taken;
  view = { x: picture.width / 2, y: picture.height / 2, side: Math.min(picture.width, picture.height), turn: 0 };
  closeCamera();
  $("prepare").hidden = false;
  $("find").hidden = !about.finds_eyes;
  $("advice").textContent = about.eyes
    ? "Bring the eyes to the two circles: the model knows faces in this place only."
    : "Drag the picture to move it.";
  show();
}

async function openCamera() {
  closeCamera();
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) {
    $("capture").click(); // telephones have an application of their own for it
    return;
  }
  const before = picture;
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  } catch (error) {
    throw new Error("No camera can be used here. Open a picture instead.");
  }
  if (picture !== before) { // one was opened meanwhile
    closeCamera();
    return;
  }
  $("viewfinder").hidden = false;
  await $("video").play();
}

function closeCamera() {
  const stream = $("video").srcObject;
  if (stream) stream.getTracks().forEach((track) => track.stop());
  $("video").srcObject = null;
  $("viewfinder").hidden = true;
}

async function shoot() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [$("video").videoWidth, $("video").videoHeight];
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  await take(await new Promise((done) => canvas.toBlob(done)));
}

// Cutting ----------------------------------------------------------------------------------------

// Draws the square of the view into a canvas of so many pixels a side.
function render(canvas, side) {
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#808080";
  pen.fillRect(0, 0, side, side);
  pen.imageSmoothingQuality = "high";
  pen.imageSmoothingEnabled = view.turn !== 0 || view.side > side;
  pen.setTransform(side / view.side, 0, 0, side / view.side, side / 2, side / 2);
  pen.rotate(-view.turn);
  pen.translate(-view.x, -view.y);
  pen.fillStyle = "#fff"; // beneath transparent parts, as everywhere
  pen.fillRect(0, 0, picture.width, picture.height);
  pen.drawImage(picture, 0, 0);
  pen.resetTransform();
  return pen;
}

const smallest = () => Math.max(about.low_size, Math.min(picture.width, picture.height) / 20);
const largest = () => Math.max(picture.width, picture.height);

function show() {
  const stage = $("stage");
  const side = Math.max(1, Math.round(stage.clientWidth * devicePixelRatio));
  const pen = render(stage, side);
  $("zoom").value = Math.log(largest() / view.side) / Math.log(largest() / smallest()) || 0;
  pen.lineWidth = Math.max(1, side / 160);
  for (const [x, y] of about.eyes || []) {
    for (const [color, radius] of [["#000", 0.055], ["#fff", 0.06]]) {
      pen.strokeStyle = color;
      pen.beginPath();
      pen.arc(x * side, y * side, radius * side, 0, 2 * Math.PI);
      pen.stroke();
    }
  }
}

function resize(side) {
  view.side = Math.min(Math.max(side, smallest()), largest());
  show();
}

// Moves the view by a part of its side; its centre stays on the picture.
function move(x, y) {
  const [cos, sin] = [Math.cos(view.turn), Math.sin(view.turn)];
  view.x = Math.min(Math.max(view.x + (x * cos - y * sin) * view.side, 0), picture.width);
  view.y = Math.min(Math.max(view.y + (x * sin + y * cos) * view.side, 0), picture.height);
  show();
}

const fingers = new Map();
$("stage").onpointerdown = (event) => {
  fingers.set(event.pointerId, event);
  $("stage").setPointerCapture(event.pointerId);
};
$("stage").onpointerup = $("stage").onpointercancel = (event) => fingers.delete(event.pointerId);
$("stage").onpointermove = (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const width = $("stage").clientWidth;
  const others = [...fingers.values()].filter((other) => other.pointerId !== event.pointerId);
  if (others.length) {
    const distance = (one) => Math.hypot(one.clientX - others[0].clientX, one.clientY - others[0].clientY);
    resize((view.side * distance(before)) / Math.max(distance(event), 1));
  }
  const share = others.length ? 0.5 : 1; // of two fingers the middle moves half as far
  move((share * (before.clientX - event.clientX)) / width, (share * (before.clientY - event.clientY)) / width);
  fingers.set(event.pointerId, event);
};
$("stage").addEventListener("wheel", (event) => {
  event.preventDefault();
  resize(view.side * Math.exp(event.deltaY / 500));
}, { passive: false });
$("stage").onkeydown = (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!step) return;
  event.preventDefault();
  move(step[0] / 50, step[1] / 50);
};
$("zoom").oninput = () => resize(largest() * (smallest() / largest()) ** $("zoom").value);
window.addEventListener("resize", () => { if (picture) show(); });

// Turns, scales and moves the view so that the eyes of the face come to where the model has them.
async function findFace() {
  const factor = Math.min(1, FACE_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(picture.width * factor), Math.round(picture.height * factor)];
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const searched = picture;
  $("status").textContent = "Looking for a face …";
  const body = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
  const { eyes } = await request("/api/eyes", { method: "POST", body });
  $("status").textContent = "";
  if (picture !== searched) return;
  const [left, right] = eyes.map(([x, y]) => [x / factor, y / factor]);
  const [goalLeft, goalRight] = about.eyes;
  const goal = [goalRight[0] - goalLeft[0], goalRight[1] - goalLeft[1]];
  const found = [right[0] - left[0], right[1] - left[1]];
  const turn = Math.atan2(found[1], found[0]) - Math.atan2(goal[1], goal[0]);
  const side = Math.hypot(...found) / Math.hypot(...goal);
  // From the middle between the goals to the middle of the square.
  const x = (0.5 - (goalLeft[0] + goalRight[0]) / 2) * side;
  const y = (0.5 - (goalLeft[1] + goalRight[1]) / 2) * side;
  view = {
    x: (left[0] + right[0]) / 2 + x * Math.cos(turn) - y * Math.sin(turn),
    y: (left[1] + right[1]) / 2 + x * Math.sin(turn) + y * Math.cos(turn),
    side,
    turn,
  };
  show();
}

// Drawing ----------------------------------------------------------------------------------------

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// Puts rows of sub-pixels into a canvas, from a row on.
function put(canvas, pixels, row) {
  const count = pixels.length / about.channels;
  const shown = new ImageData(canvas.width, count / canvas.width);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) shown.data[4 * i + c] = pixels[about.channels * i + Math.min(c, about.channels - 1)];
    shown.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(shown, 0, row);
}

function frame(name, side) {
  const figure = document.createElement("figure");
  figure.dataset.name = name;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const caption = document.createElement("figcaption");
  caption.append(document.createElement("span"));
  caption.firstChild.textContent = name;
  figure.append(canvas, caption);
  return figure;
}

function finish(figure, nats, dimensions) {
  const canvas = figure.querySelector("canvas");
  const caption = figure.querySelector("figcaption");
  const link = document.createElement("a");
  link.textContent = "PNG";
  link.href = canvas.toDataURL("image/png");
  link.download = figure.dataset.name.replace(" ", "_") + ".png";
  caption.append(link);
  if (nats === undefined) return;
  const score = document.createElement("div");
  score.textContent = `${Math.round(nats).toLocaleString("en")} (${(nats / dimensions).toFixed(2)})`;
  caption.append(score);
}

async function draw() {
  const mine = ++turns;
  if (drawing) giveUp(drawing);
  drawing = null;
  const count = Number($("num_samples").value);
  const tau = $("greedy").checked ? "inf" : $("tau").value;
  const canvas = document.createElement("canvas");
  render(canvas, Math.min(LARGEST, Math.max(about.low_size, Math.round(view.side))));
  const body = await new Promise((done) => canvas.toBlob(done));
  const query = new URLSearchParams({ tau, num_samples: count, seed: $("seed").value });
  $("status").textContent = "Sending …";
  const { id } = await request("/api/pictures?" + query, { method: "POST", body });
  if (mine !== turns) { // another one was begun meanwhile
    giveUp(id);
    return;
  }
  drawing = id;
  const samples = Array.from({ length: count }, (_, k) => frame(`sample ${k + 1}`, about.size));
  const others = new Map();
  $("grid").hidden = $("units").hidden = true;
  $("pictures").replaceChildren();
  for (let row = 0, failures = 0; mine === turns && drawing;) {
    let answer;
    try {
      answer = await request(`/api/pictures/${id}?row=${row}`);
      failures = 0;
    } catch (error) {
      if (mine !== turns) return;
      if (error.status || ++failures > 5) throw error;
      await pause(500);
      continue;
    }
    if (mine !== turns) return;
    if (answer.state === "failed") throw new Error("This picture could not be drawn; the reason is on the server's terminal.");
    if (!answer.rows) { // it has not begun
      $("status").textContent = answer.ready ? `Waiting: number ${answer.position || 1} in the queue.`
        : "The model is being made ready; this takes some seconds.";
      await pause(300);
      continue;
    }
    $("result").hidden = false;
    for (const [name, text] of Object.entries(answer.images || {})) {
      if (others.has(name)) continue;
      others.set(name, frame(name, name === "input" ? about.low_size : about.size));
      put(others.get(name).querySelector("canvas"), bytes(text), 0);
    }
    if (!$("pictures").childElementCount) {
      const { original, ...first } = Object.fromEntries(others);
      $("pictures").replaceChildren(...Object.values(first), ...samples, ...(original ? [original] : []));
    }
    for (const text of answer.rows) {
      const all = bytes(text);
      const length = all.length / count;
      samples.forEach((sample, k) => put(sample.querySelector("canvas"), all.subarray(k * length, (k + 1) * length), row));
      row++;
    }
    $("status").textContent = `Row ${row} of ${about.size}`;
    if (answer.state === "done" && row === about.size) {
      for (const [name, figure] of others) finish(figure, answer.nats[name], answer.dimensions);
      samples.forEach((figure, k) => finish(figure, answer.nats.samples[k], answer.dimensions));
      $("grid").href = `/api/pictures/${id}/grid.png`;
      $("grid").hidden = $("units").hidden = false;
      $("status").textContent = "Done.";
      drawing = null;
    } else {
      await pause(80);
    }
  }
}

// The page ---------------------------------------------------------------------------------------

const takeFirst = tries(async (files) => {
  const file = [...files].find((one) => one.type.startsWith("image/")) || files[0];
  if (!file) throw new Error("That was no file. Save the picture first, then open it here.");
  await take(file);
});
const takeExample = tries(async (number) => {
  await take(await (await ask("/api/examples/" + number)).blob());
  await draw();
});
$("open").onclick = () => $("file").click();
$("camera").onclick = tries(openCamera);
$("shoot").onclick = tries(shoot);
$("leave").onclick = closeCamera;
$("find").onclick = tries(findFace);
$("greedy").onchange = () => { $("tau").disabled = $("greedy").checked; };
$("settings").onsubmit = (event) => { event.preventDefault(); tries(draw)(); };
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

tries(async () => {
  about = await request("/api/about");
  for (const button of [$("open"), $("camera")]) button.disabled = false;
  $("about").textContent = `From ${about.low_size} x ${about.low_size} pixels the model draws ` +
    `${about.size} x ${about.size}, sub-pixel by sub-pixel. What it adds is invented.`;
  $("num_samples").max = about.most_samples;
  about.examples.forEach((name, number) => {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.src = "/api/examples/" + number;
    image.alt = button.title = name;
    button.append(image);
    button.onclick = () => takeExample(number);
    $("examples").append(button);
  });
  $("examples").hidden = !about.examples.length;
})();
