/** Style sheet of the report: light, dark and print, in the colours of the agent's page. */
export const STYLE = `
:root{--page:#f4f6f8;--card:#fff;--ink:#16202c;--soft:#566372;--line:#e1e6ec;--grid:#e9edf2;--median:#2456d6;--inner:rgba(36,86,214,.3);--outer:rgba(36,86,214,.14);--observed:#16202c;--naive:#c2570c;--seasonal:#0b7a4b;--good:#0b7a4b;--warn:#a85b00;--bad:#b3261e;--good-soft:#e2f4ea;--warn-soft:#fdf0dc;--bad-soft:#fce8e6;--plain-soft:#edf0f4;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;color:var(--ink);background:var(--page);color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--page:#0c1117;--card:#141b24;--ink:#e7edf4;--soft:#9dabba;--line:#243040;--grid:#222d3a;--median:#7aa2ff;--inner:rgba(96,146,255,.36);--outer:rgba(96,146,255,.17);--observed:#e7edf4;--naive:#ffa657;--seasonal:#4ccb8f;--good:#4ccb8f;--warn:#f0b35a;--bad:#ff8b80;--good-soft:#12301f;--warn-soft:#35270f;--bad-soft:#3a1a18;--plain-soft:#1c2632}}
*{box-sizing:border-box}
body{margin:0;font-size:15px;line-height:1.5}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:40px 0 10px}
h3{font-size:1.02rem;margin:0;overflow-wrap:anywhere}
p{margin:0 0 10px;max-width:78ch}
.soft,figcaption,.facts{color:var(--soft)}
.facts{font-size:.9rem}
.list span{display:inline-block;margin-right:16px}.list b,figcaption b{color:var(--ink);font-weight:600}
a{color:var(--median);text-decoration:none}a:hover{text-decoration:underline}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:22px 0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.tile b{display:block;font-size:1.4rem;line-height:1.3;white-space:nowrap;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.tile span{color:var(--soft);font-size:.86rem}
.card{margin:0 0 16px;break-inside:avoid}
.head{display:flex;flex-wrap:wrap;gap:6px 14px;align-items:baseline;margin-bottom:8px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:10px 18px}
.charts+.charts{margin-top:16px}
.small{grid-template-columns:repeat(auto-fit,minmax(min(100%,230px),1fr))}
figure{margin:0;min-width:0}
figcaption{font-size:.84rem;margin-bottom:2px}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg path{fill:none}
.g{stroke:var(--grid)}
svg .outer{fill:var(--outer)}svg .inner{fill:var(--inner)}
.outer,.inner{stroke:var(--outer);stroke-width:1}
.median,.line-f{stroke:var(--median);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.observed{stroke:var(--observed);stroke-width:1.5;stroke-linejoin:round;stroke-linecap:round}
.now{stroke:var(--soft);stroke-dasharray:2 3}
.ideal{stroke:var(--soft);stroke-dasharray:4 4}
.line-n{stroke:var(--naive);stroke-width:1.7}
.line-s{stroke:var(--seasonal);stroke-width:1.7;stroke-dasharray:6 3}
.dot{fill:var(--median)}
.promoted{fill:var(--good);stroke:var(--good);stroke-width:2}.refused{fill:var(--card);stroke:var(--soft);stroke-width:2}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:.84rem;color:var(--soft);margin:0 0 10px}
.legend svg{display:inline-block;width:26px;height:12px;vertical-align:-1px;margin-right:5px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600;font-size:.82rem}
td:first-child{overflow-wrap:anywhere;min-width:140px}
.n{text-align:right;white-space:nowrap}
tr.sum td{font-weight:600;border-top:2px solid var(--line)}
.chip{display:inline-block;border-radius:99px;padding:1px 9px;font-size:.8rem;font-weight:600;white-space:nowrap}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.chip.good{background:var(--good-soft)}.chip.warn{background:var(--warn-soft)}.chip.bad{background:var(--bad-soft)}.chip.plain{background:var(--plain-soft);color:var(--soft)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 18px;max-width:92ch}dt{font-weight:600}dd{margin:0;color:var(--soft)}
@media(max-width:640px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}}
@media print{body{font-size:12px}main{padding:0;max-width:none}.card,.tile{border-color:#ccc}}
`;
