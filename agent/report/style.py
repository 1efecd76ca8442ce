"""The page's styles, and the policy that allows these and nothing else.

Colours of text have a contrast of at least 4.5 with what is behind them, in both schemes; tests/browser measures it.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

CSS = """
:root {
  --ground: #f5f6f8; --card: #ffffff; --line: #e1e4e9; --soft: #eef0f3; --text: #1b2028; --quiet: #5a6372; --link: #1d5fbf;
  --died: #c2362b; --survived: #1f7fa6; --unknown: #8b93a1; --died-ground: #fbe9e7; --survived-ground: #e2f1f7; --survived-text: #135f7e;
  --processes: #4757c4; --cache: #d9912b; --shared: #a23d9e; --kernel: #4d8f68; --sockets: #7a6652;
  --used: #5b6ad0; --peak: #b9c0ec; --warn: #6b4a00; --warn-ground: #fff3d6; --warn-line: #e9c46a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12151a; --card: #1a1e25; --line: #2d333d; --soft: #242a33; --text: #e6e9ee; --quiet: #a2abb9; --link: #86b6ff;
    --died: #f0766b; --survived: #56b4d8; --unknown: #7d8695; --died-ground: #43211f; --survived-ground: #17353f; --survived-text: #6cc2e2;
    --processes: #8592f0; --cache: #e2a94f; --shared: #cf79cb; --kernel: #74b88f; --sockets: #b09a84;
    --used: #8592f0; --peak: #414a80; --warn: #ffdf94; --warn-ground: #3a2f14; --warn-line: #7d6320;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 1120px; padding: 32px 24px 48px; background: var(--ground); color: var(--text);
  font: 15px/1.5 Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere;
}
h1, h2 { line-height: 1.2; letter-spacing: -.01em; margin: 0; }
h1 { font-size: 30px; font-weight: 700; }
h2 { font-size: 19px; font-weight: 650; }
p { margin: 0; }
b { font-weight: 650; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12.5px; }
header { margin-bottom: 24px; }
.span { color: var(--quiet); margin-top: 6px; }
time { white-space: nowrap; }
main { display: grid; gap: 20px; }
main > * { min-width: 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 24px 24px; }
.about, .more { color: var(--quiet); max-width: 80ch; }
.about { margin-top: 4px; }
.more { margin-top: 12px; font-size: 14px; }
.nothing { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 40px 24px; text-align: center;
  font-size: 18px; }
.warning {
  background: var(--warn-ground); color: var(--warn); border: 1px solid var(--warn-line); border-radius: 12px;
  padding: 14px 18px; margin-top: 18px;
}
.warning ul { margin: 6px 0 0; padding-left: 20px; }
.warning details { margin-top: 6px; }
#notes ul { margin: 10px 0 0; padding-left: 20px; color: var(--quiet); }

.tiles { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: repeat(6, 1fr); gap: 12px; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
.tiles b { display: block; font-size: 28px; line-height: 1.15; font-weight: 700; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.tiles span { display: block; color: var(--quiet); font-size: 13px; line-height: 1.35; margin-top: 4px; }
.tiles b.died { color: var(--died); }
.tiles b.survived { color: var(--survived); }

figure { margin: 18px 0 0; }
svg { display: block; }
.timeline { display: grid; grid-template-columns: auto minmax(0, 1fr); }
rect.died { fill: var(--died); } rect.survived { fill: var(--survived); } rect.unknown { fill: var(--unknown); }
rect.processes { fill: var(--processes); } rect.cache { fill: var(--cache); } rect.shared { fill: var(--shared); }
rect.kernel { fill: var(--kernel); } rect.sockets { fill: var(--sockets); } rect.used { fill: var(--used); }
rect.peak { fill: var(--peak); }
rect.ground { fill: var(--soft); }
.grid { stroke: var(--line); stroke-width: 1; }
.tick { fill: var(--quiet); font-size: 12px; font-variant-numeric: tabular-nums; }
.timeline g:hover rect { opacity: .8; }
.bar { height: 8px; border-radius: 4px; margin-top: 6px; }
.bar.tall { height: 28px; border-radius: 6px; margin: 0; }
.legend { list-style: none; margin: 14px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 6px 20px; font-size: 14px; }
.legend li { display: grid; align-content: start; grid-template-columns: 12px auto; gap: 0 8px; }
.filling .legend { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 12px 24px; }
.swatch { width: 12px; height: 12px; border-radius: 3px; margin-top: 5px; }
.swatch.died { background: var(--died); } .swatch.survived { background: var(--survived); }
.swatch.unknown { background: var(--unknown); }
.swatch.processes { background: var(--processes); } .swatch.cache { background: var(--cache); }
.swatch.shared { background: var(--shared); }
.swatch.kernel { background: var(--kernel); } .swatch.sockets { background: var(--sockets); }
.legend .sub { grid-column: 2; }
.filling + table { margin-top: 26px; }

table { width: 100%; table-layout: fixed; border-collapse: collapse; margin-top: 16px; font-size: 14px; line-height: 1.45; }
caption, .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
th, td { text-align: left; vertical-align: top; padding: 10px 16px 10px 0; border-top: 1px solid var(--line); font-weight: 400; }
thead th { border-top: 0; padding-top: 0; color: var(--quiet); font-size: 12.5px; font-weight: 600; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
td.wide > .bar:first-child { height: 12px; }
.number, .time, td.change { font-variant-numeric: tabular-nums; }
.number { white-space: nowrap; }
tbody .names bdi { font-weight: 550; }
tbody .names .sub bdi { font-weight: 400; }
.sub { display: block; color: var(--quiet); font-size: 13px; }
code.sub { font-size: 12px; }
.none { color: var(--quiet); }
.badge { display: inline-block; padding: 1px 9px; border-radius: 999px; font-size: 12.5px; font-weight: 600; white-space: nowrap; }
.badge.died { background: var(--died-ground); color: var(--died); }
.badge.survived { background: var(--survived-ground); color: var(--survived-text); }
details > summary { cursor: pointer; color: var(--link); width: fit-content; }
summary:focus-visible, pre:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px; }
td details { margin-top: 4px; font-size: 13px; }
section > details { margin-top: 14px; font-size: 14px; }
.numbers table { max-width: 480px; }
pre { margin: 8px 0 0; padding: 10px 12px; background: var(--soft); border-radius: 8px; white-space: pre-wrap; }
footer { color: var(--quiet); font-size: 14px; margin-top: 36px; }
footer h2 { color: var(--text); font-size: 16px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 10px 0 20px; }
dt { color: var(--text); font-weight: 550; }
dd { margin: 0; }

@media (max-width: 900px) { .tiles { grid-template-columns: repeat(3, 1fr); } }
@media (max-width: 720px) {
  body { padding: 20px 12px 32px; }
  header, footer { padding: 0 4px; }
  h1 { font-size: 25px; }
  section { padding: 16px 16px 18px; }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: 10px; }
  .tick.minor { display: none; }
  table, tbody, tr, th, td { display: block; }
  thead, colgroup { display: none; }
  table { margin-top: 8px; }
  tr { padding: 14px 0; border-top: 1px solid var(--line); }
  tbody tr:first-child { border-top: 0; }
  tr:last-child { padding-bottom: 0; }
  th, td { border: 0; padding: 0; }
  tbody th { font-size: 15px; margin-bottom: 6px; }
  td { display: grid; grid-template-columns: 96px minmax(0, 1fr); gap: 0 12px; padding: 2px 0; }
  td::before { content: attr(data-label); color: var(--quiet); font-size: 13px; grid-row: 1 / span 6; }
  td > * { grid-column: 2; }
  td > .badge { width: fit-content; }
  .numbers tr { padding: 8px 0; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: 8px; }
}
@media print {
  body { max-width: none; padding: 0; background: #fff; }
  section, .tiles li, .nothing { border-color: #ccc; break-inside: auto; }
  tr, figure, .tiles li { break-inside: avoid; }
  h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; display: block; }
  summary, .numbers, td details { display: none; }
  rect, .swatch, .badge { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
# The hash is of exactly what is between <style> and </style>; everything else is refused, scripts included.
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{b64encode(sha256(CSS.encode()).digest()).decode()}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
