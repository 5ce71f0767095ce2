"""
How the page looks, by day and by night.
"""

STYLE = """
:root {
  color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif;
  --ink: #1d2733; --quiet: #68778a; --paper: #fbfcfd; --card: #fff; --line: #dde4ec;
  --ours: #1769c2; --good: #1b7f4b; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e3e9f0; --quiet: #93a1b2; --paper: #12171d; --card: #1a2129;
    --line: #2c3743; --ours: #6bb0ff; --good: #58c48b; --bad: #ff8a80;
  }
}
body {
  max-width: 64rem; margin: 0 auto; padding: 2rem 1rem 4rem;
  color: var(--ink); background: var(--paper);
}
header { margin-bottom: 1.5rem; }
h1 { margin: 0; font-size: 2rem; letter-spacing: -.02em; }
h2 { margin: 2.6rem 0 .8rem; font-size: 1.3rem; }
h3 { margin: 0 0 .4rem; font-size: 1rem; }
small { font-weight: normal; color: var(--quiet); }
header p { margin: .2rem 0; color: var(--quiet); }
header .verdict { font-size: 1.2rem; color: var(--ink); }
.verdict b { font-size: 2rem; color: var(--good); }
.met { color: var(--good); } .missed { color: var(--bad); }
section, .goals {
  background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
}
section { padding: .8rem 1.1rem; margin: .7rem 0; scroll-margin-top: 1rem; }
section:target { border-color: var(--ours); }
p.note { margin: .3rem 0 0; color: var(--quiet); font-size: .85rem; }
table { border-spacing: 0; }
th { text-align: left; font-weight: normal; color: var(--quiet); }
th, td { padding: .15rem 1.4rem .15rem 0; vertical-align: top; }
.goals { width: 100%; padding: .5rem 0; font-variant-numeric: tabular-nums; }
.goals th, .goals td { padding: .22rem .9rem; font-size: .9rem; }
.goals td { border-top: 1px solid var(--line); color: var(--ink); }
.goals td:nth-child(2) { color: var(--quiet); }
.goals td:nth-child(4) { font-weight: 600; white-space: nowrap; }
.goals .met td:nth-child(4) { color: var(--good); }
.goals .missed td:nth-child(4) { color: var(--bad); }
.goals a { color: inherit; text-decoration: none; }
.goals a:hover { text-decoration: underline; }
.bar {
  display: block; position: relative; width: 8rem; height: .6rem; margin-top: .4rem;
  background: linear-gradient(var(--quiet), var(--quiet)) center/1px 100% no-repeat;
}
.bar i { display: block; height: 100%; border-radius: .2rem; opacity: .75; }
.met .bar i { background: var(--good); } .missed .bar i { background: var(--bad); }
svg { width: 100%; font-size: 13px; fill: var(--ink); overflow: visible; }
.scale text { fill: var(--quiet); font-size: 11px; }
.scale line { stroke: var(--line); }
.range { stroke: var(--quiet); stroke-width: 3; stroke-linecap: round; opacity: .45; }
.other circle { fill: var(--quiet); }
.ours circle, .ours text { fill: var(--ours); } .ours text { font-weight: 600; }
.ours .range { stroke: var(--ours); }
.mark { stroke: var(--quiet); stroke-dasharray: 1 3; }
.goal { stroke: var(--good); stroke-width: 1.5; stroke-dasharray: 5 3; }
"""
