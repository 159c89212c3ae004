// One line on a canvas with a few ticks; enough for loss and throughput.

const tickStep = (span) => {
  const rough = span / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? rough;
};

/**
 * Draws `points` ([x, y], x ascending) into `canvas` at the device's resolution.
 * Points that are not finite (or not positive with `logarithmic`) are left out.
 */
export function drawLine(canvas, points, { logarithmic = false, fromZero = false } = {}) {
  const width = canvas.clientWidth;
  const height = 180;
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const usable = points.filter(([, y]) => Number.isFinite(y) && (!logarithmic || y > 0));
  pen.font = '11px system-ui, sans-serif';
  pen.fillStyle = style.color;
  if (usable.length < 2) {
    pen.globalAlpha = 0.6;
    pen.fillText('waiting for steps', 8, 20);
    return;
  }
  const map = logarithmic ? Math.log10 : (y) => y;
  const xs = usable.map(([x]) => x);
  const ys = usable.map(([, y]) => map(y));
  let low = fromZero ? 0 : Math.min(...ys);
  let high = Math.max(...ys);
  if (high - low < 1e-9) [low, high] = [low - 1, high + 1];
  const left = 46;
  const bottom = height - 20;
  const toX = (x) => left + ((x - xs[0]) / (xs.at(-1) - xs[0])) * (width - left - 8);
  const toY = (y) => bottom - ((y - low) / (high - low)) * (bottom - 10);
  pen.globalAlpha = 0.25;
  pen.strokeStyle = style.color;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((f) => low + f * (high - low));
  for (const tick of ticks) {
    pen.beginPath();
    pen.moveTo(left, toY(tick));
    pen.lineTo(width - 8, toY(tick));
    pen.stroke();
  }
  pen.globalAlpha = 0.75;
  for (const tick of ticks) {
    const value = logarithmic ? 10 ** tick : tick;
    pen.fillText(value >= 100 ? value.toFixed(0) : value.toPrecision(3), 2, toY(tick) + 4);
  }
  const step = Math.max(1, tickStep(xs.at(-1) - xs[0]));
  for (let x = Math.ceil(xs[0] / step) * step; x <= xs.at(-1); x += step)
    pen.fillText(String(x), toX(x) - 8, height - 4);
  pen.globalAlpha = 1;
  pen.strokeStyle = '#1b8fd6';
  pen.lineWidth = 1.5;
  pen.beginPath();
  usable.forEach(([x], i) => (i === 0 ? pen.moveTo(toX(x), toY(ys[i])) : pen.lineTo(toX(x), toY(ys[i]))));
  pen.stroke();
}
