"use strict";
// Requests to the server and messages to the user: what the page's other scripts share.
// All of them work in Chrome 92, Firefox 93 and Safari 15, and addresses are relative.

const $ = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
let model; // its name
let about; // the server's description of it
let api = "api/"; // once a model is chosen, its part of the server's addresses

function timeLimit(ms) { // AbortSignal.timeout is newer
  const controller = new AbortController();
  setTimeout(() => controller.abort(), ms);
  return controller.signal;
}

// Sends one request below `api`; throws if there is no answer, or the answer is an error.
async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(api + path, { signal: timeLimit(30000), ...options });
  } catch (error) {
    throw new Error("The server is not answering. Is it still running?");
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw Object.assign(new Error(error || `The server answered ${response.status}.`), { status: response.status });
}

const request = async (path, options) => (await ask(path, options)).json();

function trouble(text) {
  $("trouble").textContent = text ? text[0].toUpperCase() + text.slice(1) : "";
  $("trouble").hidden = !text;
}

// Shows what is happening, and the share that is done: null if unknown, undefined for no bar.
function say(text, done) {
  $("status").textContent = text;
  $("progress").hidden = done === undefined;
  if (done === null) $("progress").removeAttribute("value");
  else if (done !== undefined) $("progress").value = done;
}

// Runs an action of the user; shows its errors on the page.
const tries = (action) => async (...given) => {
  trouble("");
  try { await action(...given); } catch (error) { say(""); trouble(error.message); }
};
