"use strict";
// Chooses a picture: opened, dropped, pasted or photographed.

let picture = null; // ImageBitmap

async function take(blob) {
  let taken;
  try {
    taken = await createImageBitmap(blob);
  } catch (error) {
    throw new Error("This browser cannot read that as a picture.");
  }
  if (Math.min(taken.width, taken.height) < about.low_size) {
    throw new Error(`This picture has ${taken.width} x ${taken.height} pixels; the model needs at least ${about.low_size} x ${about.low_size}.`);
  }
  if (picture) picture.close();
  picture = taken;
  view = { x: picture.width / 2, y: picture.height / 2, side: Math.min(picture.width, picture.height), turn: 0 };
  closeCamera();
  $("prepare").hidden = false;
  $("find").hidden = !about.finds_eyes;
  $("advice").textContent = about.eyes
    ? "Move the eyes into the two circles. The model only knows faces in this position."
    : "Drag the picture to move it.";
  show();
}

async function openCamera() {
  closeCamera();
  if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) {
    $("capture").click(); // phones then open their camera
    return;
  }
  const before = picture;
  const facingMode = about.eyes ? "user" : "environment";
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode } });
  } catch (error) {
    throw new Error("No camera is available. Open a picture instead.");
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
