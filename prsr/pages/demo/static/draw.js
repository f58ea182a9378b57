"use strict";
// Requests samples, and shows them row by row.

const MAX_SIDE = 512; // pixels that are sent: the model sees far fewer
let drawing = null; // the id of the picture that is being drawn
let turns = 0; // counts requests to draw
let figures = new Map(); // what is shown, by name: see `frame`
let drawn = null; // the id of the picture whose samples are shown

const giveUp = (id) => ask("pictures/" + id, { method: "DELETE", keepalive: true }).catch(() => {});

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

// A picture with its name: `pixels` are its values, and the server has the model's predictions for
// it as those for the image `inside` of the picture `id`.
function frame(name, side, inside = name) {
  const element = document.createElement("figure");
  element.dataset.name = name;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const caption = document.createElement("figcaption");
  caption.append(document.createElement("span"));
  caption.firstChild.textContent = name;
  element.append(canvas, caption);
  const figure = {
    name, element, canvas, inside, id: null, sampling: null, row: 0, done: false,
    pixels: new Uint8Array(side * side * about.channels),
  };
  if (side === about.size) makeSelectable(figure);
  return figure;
}

function fill(figure, pixels, row = 0) {
  figure.pixels.set(pixels, row * figure.canvas.width * about.channels);
  figure.row = row + pixels.length / figure.canvas.width / about.channels;
  put(figure.canvas, pixels, row);
  if (figure === selected) showSelected();
}

function finish(figure, id, nats, dimensions) {
  figure.id = id;
  figure.done = true;
  const caption = figure.element.querySelector("figcaption");
  const link = document.createElement("a");
  link.textContent = "PNG";
  link.href = figure.canvas.toDataURL("image/png");
  link.download = figure.name.replace(" ", "_") + ".png";
  caption.append(link);
  if (nats === undefined) return;
  const score = document.createElement("div");
  score.textContent = `${Math.round(nats).toLocaleString("en")} (${(nats / dimensions).toFixed(2)})`;
  caption.append(score);
}

// The settings of the page, as the server wants them.
const settings = () => ({
  tau: $("greedy").checked ? "inf" : $("tau").value,
  guidance: $("guidance").value,
  match_input: $("match").checked,
});

// Begins to draw, and gives up what was being drawn. Returns the new id, or null if another drawing
// was begun while this one was sent.
async function begin(path, query, body) {
  const mine = ++turns;
  if (drawing) giveUp(drawing);
  drawing = null;
  say("Sending …", null);
  const content = await body;
  const { id } = await request(`${path}?${new URLSearchParams(query)}`, { method: "POST", body: content });
  if (mine !== turns) {
    giveUp(id);
    return null;
  }
  return drawing = id;
}

// Follows a picture until it is done, or another one is begun: calls `show` with each answer that
// has something to show. Returns the last answer, or null.
async function follow(id, show) {
  const mine = turns;
  for (let row = 0, failures = 0; ;) {
    let answer;
    try {
      answer = await request(`pictures/${id}?row=${row}`);
      failures = 0;
    } catch (error) {
      if (mine !== turns) return null;
      if (error.status || ++failures > 5) throw error;
      await pause(500);
      continue;
    }
    if (mine !== turns) return null;
    if (answer.state === "failed") throw new Error("This picture could not be drawn. The server's terminal shows why.");
    if (!answer.rows) { // it has not begun
      if (answer.ready) say(`Waiting: you are number ${answer.position || 1} in the queue.`, null);
      else say("The model is getting ready. This takes a few seconds.", null);
      await pause(300);
      continue;
    }
    show(answer);
    row += answer.rows.length;
    say(`Row ${row} of ${about.size}`, row / about.size);
    if (answer.state === "done" && row === about.size) {
      drawing = null;
      say("Done.");
      return answer;
    }
    await pause(80);
  }
}

// Puts an answer's rows into the pictures that are drawn, and what they became after matching.
function fillAll(samples, answer) {
  answer.rows.forEach((text, i) => {
    const all = bytes(text);
    const length = all.length / samples.length;
    samples.forEach((sample, k) => fill(sample, all.subarray(k * length, (k + 1) * length), answer.row + i));
  });
  if (answer.matched) samples.forEach((sample, k) => fill(sample, bytes(answer.matched[k])));
}

async function draw() {
  const count = Number($("num_samples").value);
  const sampling = settings();
  const seed = $("seed").value;
  const canvas = document.createElement("canvas");
  render(canvas, Math.min(MAX_SIDE, Math.max(about.low_size, Math.round(view.side))));
  const body = new Promise((done) => canvas.toBlob(done));
  const id = await begin("pictures", { ...sampling, num_samples: count, seed }, body);
  if (!id) return;
  forget();
  $("steps").hidden = true;
  $("state").scrollIntoView({ behavior: "smooth", block: "start" });
  const samples = Array.from({ length: count }, (_, k) => frame(`sample ${k + 1}`, about.size));
  samples.forEach((sample) => { sample.sampling = sampling; });
  const answer = await follow(id, (now) => {
    if (now.images && !figures.size) {
      const { original, ...first } = now.images;
      for (const [name, text] of Object.entries(first)) figures.set(name, still(name, text));
      samples.forEach((sample) => figures.set(sample.name, sample));
      if (original) figures.set("original", still("original", original));
      $("pictures").replaceChildren(...[...figures.values()].map((figure) => figure.element));
      $("result").hidden = false;
      select(samples[0]);
      holdInLink(bytes(first.input), { ...sampling, samples: count, seed });
    }
    fillAll(samples, now);
  });
  if (!answer) return;
  drawn = id;
  for (const figure of figures.values()) {
    const k = samples.indexOf(figure);
    finish(figure, id, k < 0 ? answer.nats[figure.name] : answer.nats.samples[k], answer.dimensions);
  }
  $("grid").href = `${api}pictures/${id}/grid.png`;
  $("grid").hidden = $("units").hidden = false;
  showSelected();
  await lookInside();
}

function still(name, text) {
  const figure = frame(name, name === "input" ? about.low_size : about.size);
  fill(figure, bytes(text));
  return figure;
}

// Clears what was drawn before.
function forget() {
  figures = new Map();
  drawn = null;
  $("pictures").replaceChildren();
  $("grid").hidden = $("units").hidden = $("result").hidden = true;
  select(null);
}
