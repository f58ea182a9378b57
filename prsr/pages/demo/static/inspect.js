"use strict";
// Inside a picture: what A and B predict for each sub-pixel; and redrawing from a pixel.

const CHANNELS = { 1: ["grey"], 3: ["R", "G", "B"] };
const NETWORKS = ["A", "B", "A + B"];
// From dark to light in steps that look equal, also to the colour-blind (matplotlib's viridis).
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];
const SIDES = [[230, 120, 0], [246, 240, 230], [0, 90, 180]]; // orange for B, blue for A
const OVERLAYS = {
  nats: { map: 0, title: "nats per pixel under A + B: bright where the picture is surprising", colors: VIRIDIS },
  entropy: { map: 1, title: "entropy of A + B in bits per pixel: bright where much was possible", colors: VIRIDIS },
  decided: { map: 2, title: "which network decided", colors: SIDES, ends: ["B, earlier pixels", "A, the input"] },
};
let selected = null; // the figure in the large picture
let chosen = { x: 0, y: 0 }; // the pixel that was chosen
let hovered = null; // the one beneath the mouse
let numbers = null; // the predictions that are shown: `inside`
let painted = null; // the values of the selected picture with what was painted on it
let undos = [];
let looks = 0; // counts requests to look inside
const insides = new Map(); // promises, by address

const same = (a, b) => a && b && a.x === b.x && a.y === b.y;
const pixelNow = () => hovered || chosen;

// The large picture ------------------------------------------------------------------------------

function makeSelectable(figure) {
  const name = document.createElement("button");
  name.type = "button";
  name.textContent = figure.name;
  name.title = "Enlarge";
  name.onclick = () => select(figure);
  figure.element.querySelector("span").replaceWith(name);
  figure.canvas.onpointerdown = (event) => {
    select(figure);
    choose(pixelAt(figure.canvas, event));
  };
  figure.canvas.onpointermove = (event) => { if (selected === figure) hover(pixelAt(figure.canvas, event)); };
  figure.canvas.onpointerleave = () => hover(null);
}

function select(figure) {
  const before = selected;
  selected = figure;
  painted = hovered = numbers = null;
  if (before) before.element.classList.remove("selected");
  if (!figure) {
    undos = [];
    insides.clear();
    chosen = { x: about.size >> 1, y: about.size >> 1 };
    return;
  }
  figure.element.classList.add("selected");
  $("selected").textContent = figure.name;
  $("comparison").hidden = figure.name === "bicubic";
  showSelected();
  lookInside();
}

function showSelected() {
  const size = about.size;
  for (const id of ["look", "other", "overlay"]) $(id).width = $(id).height = size;
  $("look").getContext("2d").drawImage(selected.canvas, 0, 0);
  if (painted) put($("look"), painted, 0);
  const bicubic = figures.get("bicubic");
  if (bicubic) $("other").getContext("2d").drawImage(bicubic.canvas, 0, 0);
  $("other").hidden = $("comparison").hidden;
  $("other").style.clipPath = `inset(0 ${100 - $("split").value}% 0 0)`;
  $("drawOn").disabled = $("paint").disabled = !(selected.done && drawn);
  $("undo").disabled = !undos.length;
}

function pixelAt(canvas, event) {
  const box = canvas.getBoundingClientRect();
  const place = (at, from, side) => Math.min(Math.max(Math.floor(((at - from) / side) * about.size), 0), about.size - 1);
  return { x: place(event.clientX, box.left, box.width), y: place(event.clientY, box.top, box.height) };
}

function choose(pixel) {
  chosen = pixel;
  hovered = null;
  showPixel();
}

function hover(pixel) {
  if (same(pixel, hovered) || (!pixel && !hovered)) return;
  hovered = pixel;
  showPixel();
}

// Numbers ----------------------------------------------------------------------------------------

// The settings for which predictions are shown: the model's own, or those the picture was drawn with.
function shownSettings(figure) {
  const { tau, guidance } = figure.sampling || {};
  const asDrawn = $("asDrawn").checked && !$("asDrawn").disabled;
  return asDrawn ? { tau, guidance } : { tau: 1, guidance: 0 };
}

// The server's predictions for a picture, fetched once: `Drawer.inside` describes the three arrays.
function inside(figure) {
  const query = new URLSearchParams(shownSettings(figure));
  const path = `pictures/${figure.id}/inside/${encodeURIComponent(figure.inside)}?${query}`;
  if (!insides.has(path)) {
    const coming = ask(path).then(async (response) => {
      const content = await response.arrayBuffer();
      const [pixels, subPixels] = [about.size ** 2, about.size ** 2 * about.channels];
      const nats = new Float32Array(content, 3 * 256 * subPixels, 3 * subPixels);
      const maps = [0, 1, 2].map((k) => new Float32Array(content, nats.byteOffset + nats.byteLength + 4 * k * pixels, pixels));
      return { bars: new Uint8Array(content, 0, 3 * 256 * subPixels), nats, maps };
    });
    coming.catch(() => insides.delete(path)); // so that it may be tried again
    insides.set(path, coming);
  }
  return insides.get(path);
}

async function lookInside() {
  const figure = selected;
  const mine = ++looks;
  numbers = null;
  $("inside").hidden = $("loading").hidden = true;
  showOverlay();
  if (!figure || !figure.done || painted) return;
  $("asDrawn").disabled = !figure.sampling || figure.sampling.tau === "inf";
  $("matched").hidden = !(figure.sampling && figure.sampling.match_input);
  $("loading").hidden = false;
  try {
    const found = await inside(figure);
    if (mine !== looks) return;
    numbers = found;
  } finally {
    if (mine === looks) $("loading").hidden = true;
  }
  $("inside").hidden = false;
  showPixel();
  showOverlay();
}

// Showing ----------------------------------------------------------------------------------------

function showPixel() {
  if (!selected) return;
  const { x, y } = pixelNow();
  for (const [id, pixel] of [["cursor", chosen], ["hover", hovered]]) {
    $(id).hidden = !pixel;
    if (!pixel) continue;
    $(id).style.left = `${(100 * pixel.x) / about.size}%`;
    $(id).style.top = `${(100 * pixel.y) / about.size}%`;
    $(id).style.width = $(id).style.height = `${100 / about.size}%`;
  }
  $("place").textContent = `row ${y + 1}, column ${x + 1}`;
  if (!numbers) return;
  const spoken = [`Row ${y + 1}, column ${x + 1}.`];
  CHANNELS[about.channels].forEach((name, c) => {
    const subPixel = about.channels * (y * about.size + x) + c;
    const value = selected.pixels[subPixel];
    const row = $("opinions").children[c];
    row.firstChild.textContent = `${name} ${value}`;
    const nats = NETWORKS.map((_, k) => {
      const at = k * about.channels * about.size ** 2 + subPixel;
      plot(row.children[k + 1].firstChild, numbers.bars.subarray(256 * at, 256 * at + 256), value);
      return row.children[k + 1].lastChild.textContent = `${numbers.nats[at].toFixed(2)} nats`;
    });
    spoken.push(`${name} ${value}: A ${nats[0]}, B ${nats[1]}, both ${nats[2]}.`);
  });
  clearTimeout(showPixel.later); // to be read aloud when it rests
  showPixel.later = setTimeout(() => { $("spoken").textContent = spoken.join(" "); }, 400);
}

function plot(canvas, bars, value) {
  const style = getComputedStyle(document.documentElement);
  const pen = canvas.getContext("2d");
  const [width, height] = [canvas.width, canvas.height];
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = style.getPropertyValue("--mark");
  pen.fillRect((value * width) / 256 - 0.5, 0, width / 256 + 1, height);
  pen.fillStyle = style.getPropertyValue("--bars");
  for (let v = 0; v < 256; v++) {
    const tall = (bars[v] / 255) * (height - 6);
    pen.fillRect((v * width) / 256, height - tall, width / 256, tall);
  }
  pen.fillStyle = style.getPropertyValue("--mark");
  const x = ((value + 0.5) * width) / 256;
  pen.beginPath();
  pen.moveTo(x - 8, 0);
  pen.lineTo(x + 8, 0);
  pen.lineTo(x, 10);
  pen.fill();
}

function color(colors, share) {
  const at = Math.min(Math.max(share, 0), 1) * (colors.length - 1);
  const low = Math.min(Math.floor(at), colors.length - 2);
  return colors[low].map((from, c) => Math.round(from + (at - low) * (colors[low + 1][c] - from)));
}

function showOverlay() {
  const kind = document.querySelector("input[name=overlay]:checked").value;
  const canvas = $("overlay");
  const isShown = kind !== "none" && numbers;
  canvas.hidden = $("legend").hidden = !isShown;
  if (!isShown) return;
  const { map, title, colors, ends } = OVERLAYS[kind];
  const values = numbers.maps[map];
  const most = ends ? 1 : Math.ceil(Math.max(...values));
  const shown = new ImageData(about.size, about.size);
  values.forEach((value, i) => shown.data.set([...color(colors, value / most), 255], 4 * i));
  canvas.getContext("2d").putImageData(shown, 0, 0);
  $("legend").firstElementChild.textContent = title;
  const [low, scale, high] = $("legend").lastElementChild.children;
  low.textContent = ends ? ends[0] : "0";
  high.textContent = ends ? ends[1] : String(most);
  const steps = colors.map((_, i) => `rgb(${color(colors, i / (colors.length - 1)).join(",")})`);
  scale.style.backgroundImage = `linear-gradient(to right, ${steps.join(",")})`;
}

// Redrawing, and painting ------------------------------------------------------------------------

// Everything before the chosen pixel stays; the rest is drawn again, as a new picture.
async function drawOn() {
  const source = selected;
  const pixels = (painted || source.pixels).slice();
  const keep = chosen.y * about.size + chosen.x;
  const sampling = settings();
  const seed = Math.floor(Math.random() * 2 ** 31);
  const id = await begin("pictures/" + drawn, { ...sampling, seed, keep }, pixels);
  if (!id) return;
  const strokes = painted;
  const number = 1 + [...figures.keys()].filter((name) => name.startsWith("continued")).length;
  const figure = frame(`continued ${number}`, about.size, "sample 1");
  figure.sampling = sampling;
  figures.set(figure.name, figure);
  $("pictures").append(figure.element);
  const undo = () => {
    if (drawing === id) {
      turns++;
      giveUp(id);
      drawing = null;
      say("");
    }
    figures.delete(figure.name);
    figure.element.remove();
    select(source);
    painted = strokes;
    showSelected();
    lookInside();
  };
  undos.push(undo);
  select(figure);
  let answer = null;
  try {
    answer = await follow(id, (now) => fillAll([figure], now));
  } finally {
    if (!answer && figures.get(figure.name) === figure) { // it failed, or something else was begun
      undos = undos.filter((one) => one !== undo);
      figures.delete(figure.name);
      figure.element.remove();
      if (selected === figure) select(source);
    }
  }
  if (!answer) return;
  finish(figure, id, answer.nats.samples[0], answer.dimensions);
  showSelected();
  await lookInside();
}

const isPainting = () => $("paint").getAttribute("aria-pressed") === "true";

function setPainting(on) {
  $("paint").setAttribute("aria-pressed", on);
  $("brushes").hidden = !on;
  $("viewer").classList.toggle("painting", on);
}

// Before a stroke: a copy to go back to.
function beginStroke() {
  const before = painted && painted.slice();
  painted = (painted || selected.pixels).slice();
  undos.push(() => {
    painted = before;
    showSelected();
    lookInside();
  });
  lookInside(); // hides predictions that no longer hold
}

// Fills a square with the brush's colour; redrawing begins after the last painted pixel.
function dab(pixel) {
  const brush = Number($("brush").value);
  const rgb = [1, 3, 5].map((at) => parseInt($("color").value.slice(at, at + 2), 16));
  const color = about.channels === 3 ? rgb : [Math.round(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2])];
  const [left, top] = [pixel.x, pixel.y].map((at) => Math.max(at - ((brush - 1) >> 1), 0));
  const [right, bottom] = [left, top].map((at) => Math.min(at + brush, about.size));
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) painted.set(color, about.channels * (y * about.size + x));
  }
  const next = Math.max((bottom - 1) * about.size + right, chosen.y * about.size + chosen.x);
  const last = Math.min(next, about.size ** 2 - 1);
  chosen = { x: last % about.size, y: Math.floor(last / about.size) };
  showSelected();
  showPixel();
}

// The controls -----------------------------------------------------------------------------------

let pressed = false;
$("viewer").onpointerdown = (event) => {
  if (!selected) return;
  pressed = true;
  $("viewer").setPointerCapture(event.pointerId);
  if (isPainting()) {
    chosen = { x: 0, y: 0 };
    beginStroke();
    dab(pixelAt($("look"), event));
  } else choose(pixelAt($("look"), event));
};
$("viewer").onpointermove = (event) => {
  if (!selected) return;
  const pixel = pixelAt($("look"), event);
  if (pressed && isPainting()) dab(pixel);
  else if (pressed) choose(pixel);
  else if (event.pointerType === "mouse" && !isPainting()) hover(pixel);
};
$("viewer").onpointerup = $("viewer").onpointercancel = () => { pressed = false; };
$("viewer").onpointerleave = () => hover(null);
$("viewer").onkeydown = (event) => {
  if (!selected || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (step) {
    const within = (at) => Math.min(Math.max(at, 0), about.size - 1);
    choose({ x: within(chosen.x + step[0]), y: within(chosen.y + step[1]) });
  } else if (event.key === " " && isPainting()) {
    beginStroke();
    dab({ ...chosen });
  } else if (event.key === "Enter" && !$("drawOn").disabled) tries(drawOn)();
  else return;
  event.preventDefault();
};
$("drawOn").onclick = tries(drawOn);
$("paint").onclick = () => setPainting(!isPainting());
$("undo").onclick = tries(async () => {
  undos.pop()();
  $("undo").disabled = !undos.length;
});
$("split").oninput = showSelected;
$("asDrawn").onchange = tries(lookInside);
for (const choice of document.querySelectorAll("input[name=overlay]")) choice.onchange = showOverlay;

function makeTable() {
  $("opinions").replaceChildren(...CHANNELS[about.channels].map(() => {
    const row = document.createElement("tr");
    row.append(document.createElement("th"));
    for (const _ of NETWORKS) {
      const [cell, canvas, nats] = ["td", "canvas", "div"].map((name) => document.createElement(name));
      [canvas.width, canvas.height] = [512, 96];
      cell.append(canvas, nats);
      row.append(cell);
    }
    return row;
  }));
}
