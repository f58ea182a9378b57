"use strict";
// The page of one worker. Only the server knows which image is real.
// It works in Chrome 92, Firefox 93 and Safari 15, and its addresses are relative.

const $ = (id) => document.getElementById(id);
const worker = new URLSearchParams(location.search).get("worker");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const frame = () => new Promise(requestAnimationFrame);
const BLANK_MS = 300; // before a pair
const FEEDBACK_MS = 1200;
const TOLERANCE_MS = 50;
const MAX_EXPOSURES = 3; // on a device that is never in time
const MAX_MS = 24 * 3600 * 1000; // that the server accepts

function timeLimit(ms) { // AbortSignal.timeout is newer
  const controller = new AbortController();
  setTimeout(() => controller.abort(), ms);
  return controller.signal;
}

// Repeats a request until it is answered: a restarted server has lost nothing, and no answer is
// saved twice.
async function request(path, body) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const response = await fetch(path, {
        signal: timeLimit(15000),
        ...(body === undefined ? {} : {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(body),
        }),
      });
      if (response.status < 500) {
        const content = response.headers.get("Content-Type") === "image/png"
          ? { image: await response.blob() } : await response.json();
        $("trouble").hidden = true;
        return { status: response.status, ...content };
      }
    } catch (error) { /* no connection, or it broke */ }
    $("trouble").textContent = "The connection is lost. Trying again; your answers are safe.";
    $("trouble").hidden = false;
    await pause(wait);
  }
}

const state = () =>
  request("api/state" + (worker === null ? "" : "?worker=" + encodeURIComponent(worker)));

// Images are loaded and decoded before they are needed, and drawn from memory. One that is no
// longer available, because its pair was answered in another tab, is null.
const images = (number) => [`${number}/left`, `${number}/right`];
const loaded = new Map();
function load(id) {
  if (!loaded.has(id)) {
    loaded.set(id, (async () => {
      const answer = await request("api/image/" + id);
      if (!answer.image) return null;
      const image = new Image();
      image.alt = "";
      image.draggable = false;
      image.src = URL.createObjectURL(answer.image);
      await image.decode();
      return image;
    })());
  }
  return loaded.get(id);
}

async function unload(id) {
  const image = await loaded.get(id);
  loaded.delete(id);
  if (image) URL.revokeObjectURL(image.src);
}

// Every pixel of an image takes the same whole number of the screen's pixels.
function fit() {
  for (const picture of document.querySelectorAll(".picture")) {
    const image = picture.querySelector("img");
    if (!image) continue;
    const step = image.naturalWidth / devicePixelRatio;
    image.style.width = Math.max(1, Math.floor(picture.clientWidth / step)) * step + "px";
  }
}
window.addEventListener("resize", fit);

function showText(title, paragraphs, button) {
  $("study").hidden = true;
  $("text").hidden = false;
  $("title").textContent = title;
  $("paragraphs").replaceChildren(...paragraphs.map((text) => {
    const p = document.createElement("p");
    p.textContent = text;
    return p;
  }));
  $("go").hidden = !button;
  if (!button) return null;
  $("go").textContent = button;
  $("go").focus({ preventScroll: true });
  return new Promise((done) => { $("go").onclick = done; });
}

// Shows the pair for the exposure, counted in animation frames. If the page did not get them in
// time, because it was hidden in between, it is shown again. Returns for how long it was shown,
// and how many times; null if the pair is no longer available.
async function expose(pair) {
  const [left, right] = await Promise.all(images(pair.number).map(load));
  if (!left || !right) return null;
  document.querySelector("#left .picture").replaceChildren(left);
  document.querySelector("#right .picture").replaceChildren(right);
  fit();
  for (let times = 1; ; times++) {
    await pause(BLANK_MS);
    const start = await frame();
    $("pair").classList.add("shown");
    let now = start;
    while (now - start < pair.exposure_ms - 8) now = await frame(); // to the nearest
    $("pair").classList.remove("shown");
    const off = Math.abs(now - start - pair.exposure_ms);
    if (off <= TOLERANCE_MS || times >= MAX_EXPOSURES) return [now - start, times];
  }
}

// Waits for an arrow key, a click or a touch.
function choose() {
  return new Promise((done) => {
    const start = performance.now();
    const take = (side) => {
      document.onkeydown = $("left").onclick = $("right").onclick = null;
      $("left").disabled = $("right").disabled = true;
      done([side, performance.now() - start]);
    };
    $("left").disabled = $("right").disabled = false;
    $("left").onclick = () => take("left");
    $("right").onclick = () => take("right");
    document.onkeydown = (event) => {
      if (event.repeat || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      if (event.key === "ArrowLeft") take("left");
      if (event.key === "ArrowRight") take("right");
    };
  });
}

async function run() {
  let now = await state();
  let wasPractice = null;
  for (;;) {
    if (now.enlarge) $("pair").classList.toggle("nearest", now.enlarge === "nearest");
    if (now.question) $("question").textContent = now.question;
    if (now.state === "new" && !now.keeps_cookies) { // the server has just set one
      now = await state();
      if (now.state === "new" && !now.keeps_cookies) return showNoCookies();
      continue;
    }
    if (now.state === "new") {
      const text = [...now.consent,
        `You start with ${now.practice} pairs for practice, and learn after each whether you were right. ` +
        `Then come ${now.pairs} pairs without feedback.`];
      await showText(now.question, text, "I agree, begin");
      now = await request("api/begin", { worker });
      continue;
    }
    if (now.state === "finished") {
      showText("Thank you!", ["You have answered all pairs. Your code is:", now.code]);
      return;
    }
    if (now.state !== "pair") {
      showText("Thank you for coming", [now.error || "Something went wrong."]);
      return;
    }
    if (wasPractice && !now.practice) {
      await showText("Now it counts", ["The practice is over. From now on, you do not learn whether " +
        "you are right."], "Continue");
    }
    wasPractice = now.practice;
    now = await onePair(now);
  }
}

// Before a place is taken: without a cookie no answer could be kept.
function showNoCookies() {
  const text = ["This browser does not keep cookies for this page. Without one, we cannot tell your " +
    "answers from other people's. Your session has not begun yet."];
  if (window.top === window) {
    text.push("Allow cookies for this page, or use another browser.");
    showText("Cookies are needed", text, "Try again").then(() => location.reload());
  } else { // browsers may not keep cookies in a frame
    text.push("It may keep them if the study opens in its own window.");
    showText("Cookies are needed", text, "Open in a new window")
      .then(() => window.open(location.href));
  }
}

async function onePair(pair) {
  $("text").hidden = true;
  $("study").hidden = false;
  $("position").textContent = `${pair.practice ? "Practice" : "Pair"} ${pair.position} of ${pair.of}`;
  $("progress").max = pair.of;
  $("progress").value = pair.position - 1;
  $("feedback").textContent = "";
  for (let ahead = 1; ahead <= pair.ahead; ahead++) images(pair.number + ahead).forEach(load);
  const shown = await expose(pair);
  if (!shown) { // the pair was answered in another tab
    loaded.clear();
    await pause(1000);
    return state();
  }
  const [exposure, exposures] = shown;
  const [choice, response] = await choose();
  const next = await request("api/answer", {
    number: pair.number,
    choice,
    exposure_ms: Math.min(exposure, MAX_MS),
    response_ms: Math.min(response, MAX_MS),
    exposures,
  });
  images(pair.number).forEach(unload);
  if (next.status === 409) return state(); // already answered, in another tab or before
  if (next.correct !== undefined) {
    $("feedback").textContent = next.correct ? "Right!" : "Wrong: it was the other one.";
    $("feedback").className = next.correct ? "right" : "wrong";
    await pause(FEEDBACK_MS);
  }
  return next;
}

run();
