// One curve on a canvas: the mean of each column of pixels over a band from least to most, with round ticks.

/** Round numbers in [low, high], about `count` of them. */
function linearTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
  return ticks;
}

/** 1, 2 and 5 times the powers of ten in [low, high]; round numbers when fewer than two of them are there. */
function logarithmicTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const m of [1, 2, 5]) if (m * 10 ** power >= low && m * 10 ** power <= high) ticks.push(m * 10 ** power);
  return ticks.length >= 2 && ticks.length <= 7 ? ticks : linearTicks(low, high, 3);
}

const label = (value) => (value === 0 ? '0' : String(Number(value.toPrecision(3))));

/** The points of each column: its middle, and the mean, least and most of its values. */
function columns(points, count) {
  const [first, last] = [points[0][0], points.at(-1)[0]];
  const found = [];
  for (const [x, y] of points) {
    const column = Math.min(count - 1, Math.floor(((x - first) / Math.max(1, last - first)) * count));
    const at = (found[column] ??= { x: 0, sum: 0, least: y, most: y, count: 0 });
    at.x += x;
    at.sum += y;
    at.count++;
    at.least = Math.min(at.least, y);
    at.most = Math.max(at.most, y);
  }
  return found.filter(Boolean).map((c) => ({ x: c.x / c.count, y: c.sum / c.count, least: c.least, most: c.most }));
}

/**
 * Draws `points` ([x, y], x ascending) into `canvas` at the device's resolution.
 * Points that are not finite (or not positive with `logarithmic`) are left out.
 */
export function drawLine(canvas, points, { logarithmic = false, fromZero = false, empty = 'No step yet.' } = {}) {
  const width = canvas.clientWidth;
  const height = 180;
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  pen.font = `12px ${style.fontFamily}`;
  pen.fillStyle = style.color;
  const usable = points.filter(([, y]) => Number.isFinite(y) && (!logarithmic || y > 0));
  if (usable.length < 2) {
    pen.fillText(empty, 8, 24);
    return;
  }
  const curve = columns(usable, Math.max(20, Math.floor((width - 60) / 3)));
  let low = fromZero ? 0 : Math.min(...curve.map((c) => c.least));
  let high = Math.max(...curve.map((c) => c.most));
  if (high - low < 1e-9) [low, high] = logarithmic ? [low * 0.9, high * 1.1] : [low - 0.5, high + 0.5];
  const [left, right, top, bottom] = [48, width - 10, 10, height - 24];
  const map = logarithmic ? Math.log : (y) => y;
  const [x0, x1] = [curve[0].x, Math.max(curve.at(-1).x, curve[0].x + 1)];
  const toX = (x) => left + ((x - x0) / (x1 - x0)) * (right - left);
  const toY = (y) => bottom - ((map(y) - map(low)) / (map(high) - map(low))) * (bottom - top);
  pen.lineWidth = 1;
  pen.textAlign = 'right';
  pen.textBaseline = 'middle';
  for (const tick of logarithmic ? logarithmicTicks(low, high) : linearTicks(low, high, 4)) {
    pen.globalAlpha = 0.18;
    pen.strokeStyle = style.color;
    pen.beginPath();
    pen.moveTo(left, Math.round(toY(tick)) + 0.5);
    pen.lineTo(right, Math.round(toY(tick)) + 0.5);
    pen.stroke();
    pen.globalAlpha = 1;
    pen.fillText(label(tick), left - 6, toY(tick));
  }
  pen.textAlign = 'center';
  pen.textBaseline = 'alphabetic';
  for (const tick of linearTicks(x0, x1, Math.max(3, Math.floor(width / 70))))
    if (Number.isInteger(tick)) pen.fillText(String(tick), Math.min(toX(tick), right - 10), height - 6);
  const accent = style.outlineColor; // of the style sheet, as a colour that a canvas understands
  pen.fillStyle = accent;
  pen.globalAlpha = 0.2;
  pen.beginPath();
  for (const c of curve) pen.lineTo(toX(c.x), toY(c.most));
  for (const c of curve.toReversed()) pen.lineTo(toX(c.x), toY(c.least));
  pen.fill();
  pen.globalAlpha = 1;
  pen.strokeStyle = accent;
  pen.lineWidth = 1.75;
  pen.lineJoin = 'round';
  pen.beginPath();
  for (const c of curve) pen.lineTo(toX(c.x), toY(c.y));
  pen.stroke();
}
