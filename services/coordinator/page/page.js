// The coordinator's page: follows `/v1/events` (server-sent events) and draws what it says. Text is set with textContent only.
import { drawLine } from './chart.js';

const $ = (id) => document.getElementById(id);
const points = []; // {step, loss, imagesPerSecond}
let status;
let drawn = false;

const element = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const fixed = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : '–');
const duration = (seconds) => {
  if (!Number.isFinite(seconds)) return '–';
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
};

function say(text) {
  $('message').textContent = text;
  $('message').hidden = false;
  setTimeout(() => ($('message').hidden = true), 6000);
}

async function post(path, body) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  say(
    response.ok
      ? `Done: ${answer.channel} is at step ${answer.step}.`
      : `${answer.message ?? response.statusText} ${answer.cure ?? ''}`,
  );
}

function drawTrainers() {
  $('generation').textContent = status.generation === undefined ? '' : `plan generation ${status.generation}`;
  $('trainers').replaceChildren(
    ...status.trainers.map((trainer) => {
      const card = element('div', 'card');
      card.append(element('strong', '', trainer.id));
      const lanes = element('div', 'lanes');
      for (let lane = 0; lane < status.laneCount; lane++)
        lanes.append(element('span', trainer.lanes.includes(lane) ? 'lane mine' : 'lane', String(lane)));
      const role = trainer.lanes.length > 0 ? `step ${trainer.step}` : `follows, step ${trainer.step}`;
      card.append(lanes, element('div', 'muted', `${role} · ${fixed(trainer.imagesPerSecond, 1)} images/s`));
      return card;
    }),
  );
  if (status.trainers.length === 0) $('trainers').append(element('p', 'muted', 'No trainer is connected.'));
}

function drawChannels() {
  $('channels').replaceChildren(
    ...status.channels.map((channel) => {
      const card = element('div', 'card');
      card.append(
        element('strong', '', channel.name),
        element('div', 'muted', `step ${channel.step} · record ${channel.seq} · ${channel.action}`),
      );
      const back = element('button', '', 'Roll back');
      back.disabled = channel.seq < 1;
      back.onclick = () => post(`/v1/channels/${channel.name}/rollback`, {});
      card.append(back);
      return card;
    }),
  );
  if (status.channels.length === 0) $('channels').append(element('p', 'muted', 'Nothing has been promoted yet.'));
}

function drawCheckpoints() {
  $('checkpoints').replaceChildren(
    ...status.checkpoints.map((checkpoint) => {
      const row = element('tr');
      const named = status.channels
        .filter((channel) => channel.step === checkpoint.step)
        .map((channel) => channel.name);
      const promote = element('button', '', 'Promote to stable');
      promote.disabled = named.includes('stable');
      promote.onclick = () => post('/v1/channels/stable/promote', { step: checkpoint.step });
      const action = element('td');
      action.append(promote);
      row.append(
        element('td', '', String(checkpoint.step)),
        element('td', '', (checkpoint.weightsSha256 ?? '').slice(0, 12)),
        element('td', '', fixed(checkpoint.l1Ratio, 3)),
        element('td', '', fixed(checkpoint.rmseRatio, 3)),
        element('td', '', named.join(', ')),
        action,
      );
      return row;
    }),
  );
}

function drawGrid() {
  const evaluation = status.evaluation;
  $('grid-figure').hidden = !evaluation;
  $('grid-empty').hidden = Boolean(evaluation);
  if (!evaluation) return;
  const source = `/v1/evaluations/${evaluation.step}.png`;
  if (!$('grid').src.endsWith(source)) $('grid').src = source;
  $('grid-step').textContent = `step ${evaluation.step}`;
  $('grid-caption').textContent =
    `${evaluation.count} test images at full severity. L1 ${fixed(evaluation.l1.sampled, 4)} = ${fixed(evaluation.l1.ratio, 3)} of the best baseline; ` +
    `RMSE ${fixed(evaluation.rmse.sampled, 4)} = ${fixed(evaluation.rmse.ratio, 3)}.`;
}

function draw() {
  $('run').textContent = status.run;
  $('state').textContent = status.state;
  $('state').className = `pill ${status.state}`;
  const last = points.at(-1);
  $('step').textContent = `${status.step} / ${status.steps}`;
  $('loss').textContent = fixed(last?.loss, 4);
  $('speed').textContent = fixed(status.imagesPerSecond, 1);
  $('eta').textContent = status.state === 'running' ? duration(status.etaSeconds) : '–';
  $('epoch').textContent = `${status.epoch}`;
  $('bar').setAttribute('aria-valuemax', status.steps);
  $('bar').setAttribute('aria-valuenow', status.step);
  $('bar-fill').style.width = `${(100 * Math.min(status.step, status.steps)) / status.steps}%`;
  drawTrainers();
  drawChannels();
  drawCheckpoints();
  drawGrid();
}

function drawCharts() {
  drawLine(
    $('loss-chart'),
    points.map((p) => [p.step, p.loss]),
    { logarithmic: true },
  );
  drawLine(
    $('speed-chart'),
    points.map((p) => [p.step, p.imagesPerSecond]),
    { fromZero: true },
  );
}

function schedule() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    if (status) draw();
    drawCharts();
  });
}

const events = new EventSource('/v1/events');
events.addEventListener('status', (event) => {
  status = JSON.parse(event.data);
  schedule();
});
events.addEventListener('steps', (event) => {
  for (const point of JSON.parse(event.data)) if (!(point.step <= points.at(-1)?.step)) points.push(point);
  schedule();
});
events.onerror = () => {
  $('state').textContent = 'coordinator not reachable';
  $('state').className = 'pill halted';
};
addEventListener('resize', schedule);
