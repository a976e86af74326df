/** The report as one page that needs no network. */
import type { Report } from "./job.ts";
import { adapterName, cells, digits, facts, HEAD } from "./table.ts";

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 88rem; margin: 2rem auto; padding: 0 1.5rem; color: #1d2733; background: #fff }
h1 { margin: 0 } h2 { margin: 2.5rem 0 .75rem }
.warning { background: #fff3cd; border-left: 4px solid #d39e00; padding: .5rem 1rem; font-weight: 600 }
.peaks { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; padding: 0 }
.peaks div { border: 1px solid #d9dfe5; border-radius: 8px; padding: .5rem 1rem }
.peaks b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums } .peaks span { color: #5b6875; font-size: 13px }
.facts { color: #46525e; font-size: 13px } ul.facts { padding-left: 1.2rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 12px; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .4rem; border-bottom: 1px solid #e3e8ed; text-align: right; white-space: nowrap }
th { position: sticky; top: 0; background: #f5f7f9; font-weight: 600 }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0 } td:first-child { background: inherit } tbody tr { background: #fff }
tbody tr:hover { background: #f5f7f9 }
td.error { text-align: left; color: #b00020; white-space: normal }
svg { max-width: 100%; height: auto }`;

const encode = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export interface Section {
  readonly title: string;
  /** What it is measured against, and where that comes from. */
  readonly note?: string;
  readonly svg: string;
  /** Ending of the name of its own file beside a report: `-roofline`. */
  readonly file?: string;
}

/** What the device can do at most, as figures to read at a glance. */
function peaks({ roofline }: Report): string {
  if (!roofline) return "";
  const { gflops, tileGflops, storageGBs, workgroupGBs, dispatchUs, readBackMs } = roofline;
  const figures = {
    "GFLOP/s, fused multiply-adds": gflops,
    "GFLOP/s, a register tile of products": tileGflops,
    "GB/s, storage copies": storageGBs,
    "GB/s, workgroup memory": workgroupGBs,
    "us a dispatch": dispatchUs,
    "ms a read-back": readBackMs,
  };
  const cards = Object.entries(figures).map(
    ([name, value]) => `<div><b>${digits(value)}</b><span>${name}</span></div>`,
  );
  return `<div class="peaks">${cards.join("")}</div>`;
}

export function page(report: Report, sections: readonly Section[]): string {
  const { machine } = report;
  const row = (values: readonly string[], tag: "td" | "th") =>
    values.length < HEAD.length
      ? `<tr><td>${encode(values[0] ?? "")}</td><td class="error" colspan="${HEAD.length - 1}">${encode(values[1] ?? "")}</td></tr>`
      : `<tr>${values.map((value) => `<${tag}>${encode(value)}</${tag}>`).join("")}</tr>`;
  const adapter = encode(adapterName(machine));
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Ostinato bench</title>
<style>${STYLE}</style>
<h1>Ostinato bench</h1>
<p${machine.software ? ' class="warning"' : ""}>${adapter}</p>
${peaks(report)}
<ul class="facts">${facts(report)
    .map((fact) => `<li>${encode(fact)}</li>`)
    .join("")}<li>features: ${encode(machine.features.join(", "))}</li></ul>
<h2>Lines</h2>
<div class="scroll"><table><thead>${row(HEAD, "th")}</thead><tbody>${cells(report)
    .map((values) => row(values, "td"))
    .join("")}</tbody></table></div>
${sections.map(({ title, note, svg }) => `<h2>${encode(title)}</h2>${note ? `\n<p class="facts">${encode(note)}</p>` : ""}\n${svg}`).join("\n")}
</html>
`;
}
