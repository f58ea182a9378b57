"use strict";
// The table of the admin page, updated every few seconds. The token is in the fragment of the
// address, which browsers do not send, so no log contains it.

const token = decodeURIComponent(location.hash.slice(1));
const percent = (part, all) => (all ? ((100 * part) / all).toFixed(1) + "%" : "");

async function update() {
  try {
    const response = await fetch("api/progress", { headers: { Authorization: "Bearer " + token } });
    const body = await response.json();
    if (!response.ok) throw new Error(body.error);
    document.getElementById("rows").replaceChildren(...body.algorithms.map((a) => {
      const row = document.createElement("tr");
      const cells = [`${a.data}: ${a.title}`, a.kept, a.places, a.active, a.missed, a.abandoned,
        percent(a.fooled, a.answers), percent(a.truth_left, a.answers), percent(a.left_chosen, a.answers)];
      row.append(...cells.map((text) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        return cell;
      }));
      return row;
    }));
    document.getElementById("status").textContent = "As of " + new Date().toLocaleTimeString();
  } catch (error) {
    document.getElementById("status").textContent = "Not up to date: " + error.message;
  }
}

update();
setInterval(update, 3000);
