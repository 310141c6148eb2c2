import CliTable from 'cli-table3';
import type { Findings, Ratio, Table } from './scenario.ts';

function draw(head: readonly string[], rows: readonly string[][]): string {
  const table = new CliTable({
    head: [...head],
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
  });
  table.push(...rows);
  return table.toString();
}

export function drawTable({ title, note, head, rows }: Table): string {
  return [title, ...(note === undefined ? [] : [note.replace(/^/gm, '  ')]), draw(head, rows)].join('\n');
}

/** How a ratio stands to its targets, and by how much it misses one. */
export function verdictOn({ value, target }: Ratio): string {
  if (target === undefined) return '';
  const missedBy = (bound: number) => (target.is === '>=' ? 1 - value / bound : value / bound - 1);
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  const { least, aim } = target;
  if (Number.isNaN(value)) return 'not measured';
  if (least !== undefined && missedBy(least) > 0) return `missed by ${percent(missedBy(least))}`;
  if (missedBy(aim) > 0) {
    return `${least === undefined ? '' : 'reached; '}aim missed by ${percent(missedBy(aim))}`;
  }
  return 'aim reached';
}

function ratioRow(ratio: Ratio): string[] {
  const { what, value, target } = ratio;
  const bound = (of: number | undefined) => (of === undefined ? '' : `${target?.is} ${of}`);
  return [what, value.toFixed(2), bound(target?.least), bound(target?.aim), verdictOn(ratio)];
}

/** The last table: what was measured against what was to be reached. */
export function drawRatios(ratios: readonly Ratio[]): string {
  const head = ['ratio', 'measured', 'at least', 'aim', ''];
  return `ratios within this run\n${draw(head, ratios.map(ratioRow))}`;
}

/** All tables of all scenarios, the ratios last. */
export function report(findings: readonly Findings[]): string {
  const tables = findings.flatMap(({ tables }) => tables.map(drawTable));
  const ratios = findings.flatMap(found => found.ratios);
  return [...tables, ...(ratios.length === 0 ? [] : [drawRatios(ratios)])].join('\n\n');
}
