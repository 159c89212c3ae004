// The loss curve of a run as means over windows of steps: what its coordinators stored with the checkpoints.

/** @returns {Promise<{firstStep: number, steps: number, loss: number}[]>} ascending */
export async function lossWindows(store, run, size = 50) {
  const byStep = new Map();
  for await (const { key } of store.list(`runs/${run}/history/`)) {
    const { bytes } = await store.get(key);
    for (const [step, loss] of JSON.parse(new TextDecoder().decode(bytes))) if (loss !== null) byStep.set(step, loss);
  }
  const windows = new Map();
  for (const [step, loss] of byStep) {
    const window = Math.floor(step / size);
    windows.set(window, [...(windows.get(window) ?? []), loss]);
  }
  return [...windows]
    .sort(([a], [b]) => a - b)
    .map(([window, losses]) => ({
      firstStep: window * size,
      steps: losses.length,
      loss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
    }));
}
