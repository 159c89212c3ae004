// The playground: an image (of the test set, drawn, or from a file) is degraded by a sampler and thaws frame by frame.

const $ = (id) => document.getElementById(id);
const frameMs = 280;
const firstFrameMs = 900;
const pad = $('play-original');
const pen = pad.getContext('2d', { willReadFrequently: true });

let frames = []; // {severity, x, estimate} in the order of their sequence numbers
let count = 0; // frames of the job when it is complete
let shown = -1;
let events;
let timer; // until the next frame may be shown; undefined when it may be at once
let held = false; // the slider is used: frames do not move by themselves
let seed = Math.floor(Math.random() * 1e6);

const picture = (base64) => `data:image/png;base64,${base64}`;
const note = (text) => ($('play-note').textContent = text);

function clearPad() {
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, pad.width, pad.height);
}
clearPad();

function show(index) {
  const frame = frames[index];
  if (!frame) return;
  shown = index;
  for (const [id, base64] of [
    ['play-x', frame.x],
    ['play-estimate', frame.estimate],
  ]) {
    $(id).src = picture(base64);
    $(id).hidden = false;
    $(`${id}-empty`).hidden = true;
  }
  $('play-severity').textContent = frame.severity === 0 ? 'thawed' : `severity ${frame.severity}`;
  $('play-slider').value = index;
}

function advanceAfter(ms) {
  clearTimeout(timer);
  timer = setTimeout(advance, ms);
}

/** The next frame when its time has come and it is there; each is seen for a while. */
function advance() {
  timer = undefined;
  if (held || shown >= count - 1 || shown + 1 >= frames.length) return;
  show(shown + 1);
  advanceAfter(shown === 0 ? firstFrameMs : frameMs);
}

function hold() {
  clearTimeout(timer);
  timer = undefined;
}

function stop() {
  events?.close();
  hold();
}

/** @param image base64 of a PNG or JPEG; a test image chosen by the seed unless given */
async function play(image) {
  stop();
  frames = [];
  shown = -1;
  held = false;
  $('play-slider').disabled = true;
  for (const id of ['play-x', 'play-estimate']) {
    $(id).hidden = true;
    $(`${id}-empty`).hidden = false;
  }
  if (image === undefined) clearPad();
  $('play-severity').textContent = 'thawing';
  note('A sampler takes it …');
  // Drawings and files of any colours: whether the run is in colour is the sampler's to know.
  const given = image === undefined ? {} : { image, convert: true };
  const request = { seed, sampler: $('play-sampler').value, ...given };
  try {
    const response = await fetch('/v1/playground', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
    });
    const answer = await response.json();
    if (!response.ok) return note(`${answer.message} ${answer.cure} (${answer.code})`);
    count = answer.severities.length;
    $('play-slider').max = count - 1;
    $('play-slider').disabled = false;
    $('play-version').textContent = `weights of step ${answer.version.step}`;
    note('');
    follow(answer.job, image === undefined);
  } catch {
    note('The coordinator does not answer.');
  }
}

function follow(job, showOriginal) {
  events = new EventSource(`/v1/playground/${job}/frames`);
  events.addEventListener('frame', (event) => {
    const { sequence, severity, x, estimate } = JSON.parse(event.data);
    frames[sequence - 1] = { severity, x, estimate };
    if (timer === undefined) advance();
  });
  events.addEventListener('end', (event) => {
    events.close();
    const { state, message, original } = JSON.parse(event.data);
    if (original && showOriginal) drawOriginal(original);
    if (state !== 'done') note(`The job is ${state}. ${message ?? ''}`);
  });
  events.addEventListener('refused', (event) => {
    events.close();
    const { message, cure, code } = JSON.parse(event.data);
    note(`${message} ${cure} (${code})`);
  });
}

async function drawOriginal(base64) {
  const image = new Image();
  image.src = picture(base64);
  await image.decode();
  pen.imageSmoothingEnabled = false;
  fit(image, image.naturalWidth, image.naturalHeight);
}

function fit(image, width, height) {
  clearPad();
  const scale = Math.min(pad.width / width, pad.height / height);
  const [w, h] = [width * scale, height * scale];
  pen.drawImage(image, (pad.width - w) / 2, (pad.height - h) / 2, w, h);
}

const base64Of = (canvas, type, quality) => canvas.toDataURL(type, quality).split(',')[1];

/** A file as a small picture: the sampler brings it to the size of the run. */
async function playFile(file) {
  const longest = 512;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return note('That file is not a picture that this browser can read. Choose a PNG or a JPEG.');
  }
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  leaveDrawing();
  pen.imageSmoothingEnabled = true;
  fit(bitmap, bitmap.width, bitmap.height);
  const small = canvas.width * canvas.height <= 1 << 16;
  await play(base64Of(canvas, small ? 'image/png' : 'image/jpeg', 0.92));
}

let stroke; // the last point of the stroke under the finger

function leaveDrawing() {
  pad.classList.remove('drawing');
  $('play-draw').textContent = 'Draw one';
}

$('play-draw').onclick = () => {
  if (pad.classList.contains('drawing')) {
    leaveDrawing();
    return play(base64Of(pad, 'image/png'));
  }
  stop();
  clearPad();
  pad.classList.add('drawing');
  $('play-draw').textContent = 'Thaw it';
  note('Draw with a finger or the mouse in the first square, then press “Thaw it”.');
};

const at = (event) => {
  const { left, top, width } = pad.getBoundingClientRect();
  return [((event.clientX - left) / width) * pad.width, ((event.clientY - top) / width) * pad.width];
};
pad.addEventListener('pointerdown', (event) => {
  if (!pad.classList.contains('drawing')) return;
  pad.setPointerCapture(event.pointerId);
  stroke = at(event);
});
pad.addEventListener('pointermove', (event) => {
  if (!stroke) return;
  const next = at(event);
  pen.strokeStyle = '#fff';
  pen.lineWidth = pad.width / 11;
  pen.lineCap = 'round';
  pen.beginPath();
  pen.moveTo(...stroke);
  pen.lineTo(...next);
  pen.stroke();
  stroke = next;
});
for (const name of ['pointerup', 'pointercancel']) pad.addEventListener(name, () => (stroke = undefined));

$('play-test').onclick = () => {
  leaveDrawing();
  seed = (seed + 1) % 2 ** 32;
  play();
};
$('play-file').onchange = (event) => {
  const [file] = event.target.files;
  event.target.value = '';
  if (file) playFile(file);
};
$('play-slider').oninput = (event) => {
  held = true;
  hold();
  show(Math.min(Number(event.target.value), frames.length - 1));
};
$('play-slider').onchange = (event) => {
  // Let go at the left end, it plays again.
  if (Number(event.target.value) > 0) return;
  held = false;
  advanceAfter(firstFrameMs);
};
