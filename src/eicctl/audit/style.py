"""The report's style sheet: light and dark as the reader has it, and plain on paper."""

CSS = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--line:#dfe3e8;--text:#1b2530;--soft:#5d6b7a;--accent:#2563eb;
--ok:#2f6fed;--other:#8fb4f5;--refused:#d6453d;--high:#b42318;--high-bg:#fdecea;--medium:#8a5a00;--medium-bg:#fff4dc;
--low:#475569;--low-bg:#eef1f5;--good:#1a7f4b;--s0:#edf0f4;--s1:#cfe0fb;--s2:#9cc1f7;--s3:#5f9af0;--s4:#2f6fed;--s5:#1746a8}
@media (prefers-color-scheme:dark){:root{--bg:#0f151c;--card:#18202a;--line:#2b3642;--text:#e4e9ef;--soft:#98a6b5;
--accent:#7aa7ff;--ok:#5b93ff;--other:#33558f;--refused:#ef6a62;--high:#ff9b94;--high-bg:#43201e;--medium:#f5c76a;
--medium-bg:#3b2f16;--low:#b2bfcd;--low-bg:#26303b;--good:#5fd39a;--s0:#212b36;--s1:#21365c;--s2:#28498a;--s3:#3464bd;
--s4:#5b93ff;--s5:#a9c7ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:26px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:17px;margin:0 0 12px}
p{margin:0 0 8px}
.sub,.note,footer{color:var(--soft)}
.sub{margin-bottom:22px}
.sub b{color:var(--text);font-weight:600}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:0 0 18px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(124px,1fr));gap:12px;margin:0 0 18px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.card .n{font-size:26px;font-weight:650;line-height:1.15;font-variant-numeric:tabular-nums}
.card .l{color:var(--soft);font-size:13px}
.card.bad .n{color:var(--refused)}
svg{display:block;width:100%;height:auto}
.axis{font-size:11px;fill:var(--soft);font-family:inherit}
.end{text-anchor:end}.middle{text-anchor:middle}
.grid{stroke:var(--line);stroke-width:1}.tick{stroke:var(--soft);stroke-width:1}
.ok{fill:var(--ok)}.other{fill:var(--other)}.refused{fill:var(--refused)}
.shade0{fill:var(--s0)}.shade1{fill:var(--s1)}.shade2{fill:var(--s2)}.shade3{fill:var(--s3)}.shade4{fill:var(--s4)}
.shade5{fill:var(--s5)}
.off.shade0{opacity:.5}
.legend{display:flex;flex-wrap:wrap;gap:18px;color:var(--soft);font-size:13px;margin:8px 0 0}
.legend svg{width:11px;height:11px;display:inline-block;margin-right:6px}
.finding{border-top:1px solid var(--line);padding:14px 0 12px;break-inside:avoid}
.finding:first-of-type{border-top:0;padding-top:2px}
.finding h3{font-size:15px;margin:0 0 2px}
.tag{display:inline-block;font-size:11px;font-weight:650;text-transform:uppercase;letter-spacing:.05em;border-radius:5px;
padding:2px 7px;margin-right:9px;vertical-align:1px}
.tag.high{color:var(--high);background:var(--high-bg)}.tag.medium{color:var(--medium);background:var(--medium-bg)}
.tag.low{color:var(--low);background:var(--low-bg)}
.finding p{color:var(--soft);margin:0 0 6px}
.items{display:grid;grid-template-columns:minmax(120px,max-content) 1fr;gap:2px 18px;margin:0;font-size:14px}
.items dt{font-weight:550;overflow-wrap:anywhere}
.items dd{margin:0;color:var(--soft);overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{text-align:left;color:var(--soft);font-weight:600;border-bottom:1px solid var(--line);padding:0 14px 6px 0;
white-space:nowrap}
td{border-bottom:1px solid var(--line);padding:7px 14px 7px 0;vertical-align:top}
tr:last-child td{border-bottom:0}
th:last-child,td:last-child{padding-right:0}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.when{white-space:nowrap;font-variant-numeric:tabular-nums}
.small{display:block;color:var(--soft);font-size:12px;overflow-wrap:anywhere}
span.bad{color:var(--refused);font-weight:600}
.good{color:var(--good)}
.empty{color:var(--soft)}
footer{font-size:13px;margin-top:24px}
@media print{:root{--bg:#fff;--card:#fff;--line:#ccc;--text:#000;--soft:#444}body{font-size:11px}
h1{font-size:20px}h2{font-size:14px}.card .n{font-size:19px}.items,.finding h3{font-size:11px}.card .l{font-size:11px}
main{max-width:none;padding:0}tr{break-inside:avoid}
section,.card{break-inside:avoid-page;border-radius:0;padding:10px 12px}section.long{break-inside:auto}
thead{display:table-header-group}rect,.tag{print-color-adjust:exact;-webkit-print-color-adjust:exact}table{font-size:10px}
.scroll{overflow:visible}}
""".strip()
