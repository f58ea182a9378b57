"use strict";
// Moves, enlarges and turns the square of the picture that is used.

const FACE_SIDE = 640; // pixels of the longer side that are sent to find a face in
let view = null; // the square on the picture: centre x, y, side in pixels, and turn in radians

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
  pen.fillStyle = "#fff"; // behind transparent parts
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

// Turns, scales and moves the view so that the eyes are where the model expects them.
async function findFace() {
  const factor = Math.min(1, FACE_SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(picture.width * factor), Math.round(picture.height * factor)];
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const searched = picture;
  say("Looking for a face …", null);
  const body = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
  const { eyes } = await request("eyes", { method: "POST", body });
  say("");
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
