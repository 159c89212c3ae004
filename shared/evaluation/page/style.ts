/** Style of the report: the colours of the coordinator's page, light and dark. */
export const pageStyle = `
:root {
  color-scheme: light dark;
  --ink: light-dark(#17222e, #e5edf4);
  --muted: light-dark(#56656f, #97a8b6);
  --paper: light-dark(#f1f5f8, #0e141b);
  --card: light-dark(#fff, #17212b);
  --line: light-dark(#d6dfe7, #2a3845);
  --degraded: light-dark(#7b8790, #8fa0ad);
  --direct: light-dark(#c85a17, #f0975a);
  --sampled: light-dark(#0d6cab, #56b4ec);
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
header { padding: 1.25rem clamp(0.75rem, 3vw, 2rem) 0; }
h1 { margin: 0; font-size: 1.5rem; letter-spacing: -0.01em; }
h2 { margin: 0 0 0.6rem; font-size: 1.05rem; }
header p { margin: 0.2rem 0 0; }
.muted { color: var(--muted); font-weight: normal; font-size: 0.85rem; }
.hash { font-family: ui-monospace, monospace; font-size: 0.75rem; overflow-wrap: anywhere; }
main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; padding: 1rem clamp(0.75rem, 3vw, 2rem) 2rem; }
section { padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
thead th { text-align: left; vertical-align: bottom; max-width: 13rem; }
thead th .muted { display: block; }
th, td { padding: 0.35rem 1.2rem 0.35rem 0; text-align: left; }
tbody th, tfoot th { font-weight: 600; white-space: nowrap; }
tbody tr, tfoot tr { border-top: 1px solid var(--line); }
td { white-space: nowrap; }
.key { display: inline-block; width: 0.7rem; height: 0.7rem; margin-right: 0.45rem; border-radius: 50%; }
.key.degraded { background: var(--degraded); }
.key.direct { background: var(--direct); }
.key.sampled { background: var(--sampled); }
.notes { margin: 0.9rem 0 0; padding-left: 1.1rem; color: var(--muted); font-size: 0.85rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 0.75rem 1.5rem; }
figure { margin: 0; }
figcaption { font-weight: 600; font-size: 0.9rem; }
svg { display: block; width: 100%; min-width: 20rem; height: auto; font: 12px system-ui, sans-serif; }
.scroll > svg { min-width: 34rem; }
svg text { fill: var(--ink); }
svg .tick { fill: var(--muted); font-size: 11px; }
svg .grid { stroke: var(--line); }
svg .bar { stroke-width: 6; stroke-linecap: round; opacity: 0.4; }
svg line.degraded { stroke: var(--degraded); }
svg line.direct { stroke: var(--direct); }
svg line.sampled { stroke: var(--sampled); }
svg circle.degraded { fill: var(--degraded); }
svg circle.direct, svg circle.estimate { fill: var(--direct); }
svg circle.sampled, svg circle.state { fill: var(--sampled); }
svg polyline { fill: none; stroke-width: 2; }
svg polyline.state { stroke: var(--sampled); }
svg polyline.estimate { stroke: var(--direct); }
svg text.degraded { fill: var(--degraded); }
svg text.state { fill: var(--sampled); }
svg text.estimate { fill: var(--direct); }
.strips th, .strips td { padding: 0.15rem 0.3rem 0.15rem 0; border: 0; }
.strips tbody tr { border: 0; }
.strips thead th { padding-bottom: 0; }
.strips img { display: block; image-rendering: pixelated; border-radius: 0.2rem; }
`;
