/** The report as one page that needs no network. */
import type { Report } from "./job.ts";
import { cells, facts, HEAD } from "./table.ts";

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;font-size:13px;width:100%}th,td{padding:.25rem .5rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}td.error{text-align:left;color:#b00;white-space:normal}.scroll{overflow-x:auto}svg{max-width:100%;height:auto}`;

const encode = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export interface Section {
  readonly title: string;
  readonly svg: string;
}

export function page(report: Report, sections: readonly Section[]): string {
  const row = (values: readonly string[], tag: "td" | "th") =>
    values.length < HEAD.length
      ? `<tr><td>${encode(values[0] ?? "")}</td><td class="error" colspan="${HEAD.length - 1}">${encode(values[1] ?? "")}</td></tr>`
      : `<tr>${values.map((value) => `<${tag}>${encode(value)}</${tag}>`).join("")}</tr>`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Ostinato bench</title>
<style>${STYLE}</style>
<h1>Ostinato bench</h1>
<ul>${facts(report)
    .map((fact) => `<li>${encode(fact)}</li>`)
    .join("")}<li>features: ${encode(report.machine.features.join(", "))}</li></ul>
<div class="scroll"><table><thead>${row(HEAD, "th")}</thead><tbody>${cells(report)
    .map((values) => row(values, "td"))
    .join("")}</tbody></table></div>
${sections.map(({ title, svg }) => `<h2>${encode(title)}</h2>\n${svg}`).join("\n")}
</html>
`;
}
