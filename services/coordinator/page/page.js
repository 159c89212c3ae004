// The coordinator's page: follows `/v1/events` (server-sent events) and draws what it says. Text is set with textContent only.
import { drawLine } from './chart.js';

const $ = (id) => document.getElementById(id);
const points = []; // {step, loss, imagesPerSecond}
let status;
let drawn = false;
let chosenGrid; // step whose restorations are shown; the newest unless chosen

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

let hiding;
function say(text) {
  $('message').textContent = text;
  $('message').hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => ($('message').hidden = true), 8000);
}

async function post(path, body) {
  try {
    const response = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ actor: 'page', ...body }),
    });
    const answer = await response.json();
    if (!response.ok) return say(`${answer.message} ${answer.cure} (${answer.code})`);
    say(`Done: ${answer.channel} serves step ${answer.step} (record ${answer.seq}).`);
  } catch {
    say('The coordinator does not answer; nothing is known to have changed.');
  }
}

const shown = {};
/** Draws a part anew only when its data changed: a button that is replaced under the finger loses its click. */
function part(name, data, draw) {
  const text = JSON.stringify(data);
  if (shown[name] === text) return;
  shown[name] = text;
  draw(data);
}

const drawTrainers = ({ trainers, laneCount, generation }) => {
  $('generation').textContent = generation === undefined ? '' : `plan generation ${generation}`;
  $('trainers').replaceChildren(
    ...trainers.map((trainer) => {
      const card = element('div', 'card trainer');
      card.append(element('strong', '', trainer.id));
      const lanes = element('div', 'lanes');
      lanes.setAttribute('aria-label', `lanes ${trainer.lanes.join(', ') || 'none'} of ${laneCount}`);
      for (let lane = 0; lane < laneCount; lane++)
        lanes.append(element('span', trainer.lanes.includes(lane) ? 'lane mine' : 'lane', String(lane)));
      const role =
        trainer.lanes.length > 0
          ? `step ${trainer.step} · ${fixed(trainer.imagesPerSecond, 1)} images/s`
          : `follows, step ${trainer.step}`;
      card.append(lanes, element('div', 'muted', role));
      return card;
    }),
  );
  if (trainers.length === 0) $('trainers').append(element('p', 'muted', 'No trainer is connected.'));
};

const drawChannels = (channels) => {
  $('channels').replaceChildren(
    ...channels.map((channel) => {
      const card = element('div', 'card channel');
      card.dataset.channel = channel.name;
      const back = element('button', '', 'Roll back');
      back.title = 'Serve again what this channel served before';
      back.onclick = () => post(`/v1/channels/${channel.name}/rollback`, {});
      const head = element('div', 'card-head');
      head.append(element('strong', '', channel.name), back);
      card.append(
        head,
        element('div', 'figure', `step ${channel.step}`),
        element('div', 'muted', `record ${channel.seq}: ${channel.action}`),
      );
      return card;
    }),
  );
  if (channels.length === 0) $('channels').append(element('p', 'muted', 'Nothing has been promoted yet.'));
};

const drawCheckpoints = ({ checkpoints, channels, run }) => {
  $('checkpoints-empty').hidden = checkpoints.length > 0;
  $('checkpoints-table').hidden = checkpoints.length === 0;
  $('checkpoints').replaceChildren(
    ...checkpoints.map((checkpoint) => {
      const row = element('tr');
      row.dataset.step = checkpoint.step;
      const names = element('td');
      for (const channel of channels)
        if (channel.run === run && channel.step === checkpoint.step)
          names.append(element('span', 'tag', channel.name), ' ');
      const promote = element('button', '', 'Promote');
      promote.onclick = () => post(`/v1/channels/${$('target').value}/promote`, { step: checkpoint.step });
      const action = element('td');
      action.append(promote);
      const weights = element('td');
      weights.append(element('code', '', checkpoint.weightsSha256.slice(0, 12)));
      row.append(
        element('td', '', String(checkpoint.step)),
        element('td', 'muted', new Date(checkpoint.createdMs).toLocaleTimeString()),
        weights,
        element('td', '', fixed(checkpoint.l1Ratio, 3)),
        element('td', '', fixed(checkpoint.rmseRatio, 3)),
        names,
        action,
      );
      return row;
    }),
  );
};

const drawGrid = ({ evaluation, checkpoints, grid }) => {
  $('grid-figure').hidden = !evaluation;
  $('grid-empty').hidden = Boolean(evaluation);
  if (!evaluation) return;
  const evaluated = checkpoints.filter((checkpoint) => checkpoint.l1Ratio !== undefined).toReversed();
  const newest = evaluated.length - 1;
  const found = evaluated.findIndex((checkpoint) => checkpoint.step === grid);
  const at = found < 0 ? newest : found;
  const step = evaluated[at]?.step ?? evaluation.step;
  $('grid-choice').hidden = evaluated.length < 2;
  $('grid-slider').max = Math.max(1, newest);
  $('grid-slider').value = at;
  $('grid-slider').oninput = (event) => {
    const index = Number(event.target.value);
    chosenGrid = index === newest ? undefined : evaluated[index].step;
    schedule();
  };
  const source = `/v1/evaluations/${step}.png`;
  if ($('grid').getAttribute('src') !== source) $('grid').src = source;
  $('grid-step').textContent = `step ${step}`;
  const best = 'of the best of: the degraded image, a black one, the mean training image';
  $('grid-caption').textContent =
    step === evaluation.step
      ? `${evaluation.count} test images from full severity by Algorithm 2: L1 ${fixed(evaluation.l1.sampled, 4)}, ${fixed(evaluation.l1.ratio, 3)} ${best}; ` +
        `RMSE ${fixed(evaluation.rmse.sampled, 4)}, ${fixed(evaluation.rmse.ratio, 3)} of it.`
      : `L1 ${fixed(evaluated[at].l1Ratio, 3)}, RMSE ${fixed(evaluated[at].rmseRatio, 3)} ${best}.`;
};

function draw() {
  const { run, steps, step, trainers, laneCount, generation, channels, checkpoints, evaluation } = status;
  document.title = status.state === 'running' ? `${step} / ${steps} · Thaw` : `${status.state} · Thaw`;
  $('run').textContent = run;
  $('state').textContent = status.state;
  $('state').className = `pill ${status.state}`;
  $('reason').textContent = status.state === 'running' ? '' : status.reason;
  $('step').textContent = `${step} / ${steps}`;
  $('loss').textContent = fixed(points.at(-1)?.loss ?? NaN, 4);
  $('speed').textContent = fixed(status.imagesPerSecond, 1);
  $('eta').textContent = status.state === 'running' ? duration(status.etaSeconds ?? NaN) : '–';
  $('epoch').textContent = `${status.epoch}`;
  $('bar').setAttribute('aria-valuemax', steps);
  $('bar').setAttribute('aria-valuenow', step);
  $('bar-fill').style.width = `${(100 * Math.min(step, steps)) / steps}%`;
  part('trainers', { trainers, laneCount, generation }, drawTrainers);
  part('channels', channels, drawChannels);
  part('checkpoints', { checkpoints, channels, run }, drawCheckpoints);
  part('grid', { evaluation, checkpoints, grid: chosenGrid }, drawGrid);
}

function drawCharts() {
  drawLine(
    $('loss-chart'),
    points.map((p) => [p.step, p.loss ?? NaN]),
    { logarithmic: true },
  );
  drawLine(
    $('speed-chart'),
    points.map((p) => [p.step, p.imagesPerSecond ?? NaN]),
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

function unreachable(text, reason) {
  $('state').textContent = text;
  $('state').className = 'pill halted';
  $('reason').textContent = reason;
}

function follow() {
  const events = new EventSource('/v1/events');
  events.addEventListener('status', (event) => {
    const next = JSON.parse(event.data);
    if (status && next.run !== status.run) return location.reload();
    status = next;
    schedule();
  });
  events.addEventListener('steps', (event) => {
    for (const point of JSON.parse(event.data)) if (!(point.step <= points.at(-1)?.step)) points.push(point);
    schedule();
  });
  events.onerror = async () => {
    unreachable('coordinator not reachable', 'Trying again …');
    // A browser tries again by itself after a broken connection, not after a refusal.
    if (events.readyState !== EventSource.CLOSED) return;
    const answer = await fetch('/v1/status').catch(() => undefined);
    if (answer?.status === 401)
      return unreachable('not signed in', 'Open the address with the token that `thaw up` prints.');
    setTimeout(follow, 3000);
  };
}
follow();
addEventListener('resize', schedule);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', schedule);
