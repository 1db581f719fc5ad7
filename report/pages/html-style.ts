import { chartInk, palette } from '../charts/series-style.js';

const page = `
:root { --ink: #1b1f24; --muted: #4b525c; --rule: #d9dde3; --paper: #ffffff; --shade: #f5f6f8; --link: #0b5fa5;
  --good: #0f7a3d; --bad: #b3261e; --doubtful: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #edf0f4; --muted: #b4bcc8; --rule: #343a44; --paper: #14171b;
  --shade: #1d2127; --link: #5db1f2; --good: #5fd38d; --bad: #ff8a80; --doubtful: #f0b95a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 Helvetica, Arial, "Liberation Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--rule); overflow-wrap: anywhere; }
p { max-width: 46rem; margin: .5rem 0; overflow-wrap: anywhere; }
a { color: var(--link); }
.lead { font-size: 1.1rem; }
.simulated { border: 2px solid var(--bad); color: var(--bad); font-weight: bold; padding: .5rem .75rem; max-width: none; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 1rem 0; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
nav ul { columns: 18rem; padding-left: 1.2rem; margin: 1.5rem 0 0; } nav li { overflow-wrap: anywhere; }
figure { margin: 1.75rem 0 2.25rem; }
.scroll { overflow-x: auto; }
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
svg { display: block; width: 100%; min-width: 40rem; height: auto; }
summary { cursor: pointer; color: var(--muted); font-size: .875rem; padding: .25rem 0; width: max-content; }
table { border-collapse: collapse; font-size: .875rem; margin: .75rem 0 1.5rem; }
caption { text-align: left; font-weight: bold; padding: .25rem .5rem .5rem 0; }
th, td { padding: .3rem .55rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--rule); }
th { color: var(--muted); font-weight: bold; vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--shade); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: bold; } .doubtful { color: var(--doubtful); }
@media print { body { max-width: none; padding: 0; } details, nav { display: none; } figure, tr { break-inside: avoid; } }
`;

/** The style of a page. Charts are drawn in light colours; on a dark page each has its counterpart. */
export function htmlStyle(): string {
  const pairs = [...palette, ...Object.values(chartInk)];
  const dark = pairs.map(
    ({ light, dark: bright }) =>
      `svg [fill="${light}" i] { fill: ${bright}; } svg [stroke="${light}" i] { stroke: ${bright}; }`,
  );
  return `${page}@media screen and (prefers-color-scheme: dark) {\n${dark.join('\n')}\n}\n`;
}
