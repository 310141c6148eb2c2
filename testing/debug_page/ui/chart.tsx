// A small live chart: straight or stepped lines, never splines, which draw waves that are not in the data.

import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { colourOf, onTheme, paleColourOf } from './theme.ts';

export interface Line {
  label: string;
  /** A colour token. */
  token: string;
  fill?: boolean;
  dash?: boolean;
  stepped?: boolean;
}

interface ChartProps {
  title: string;
  lines: Line[];
  /** Times in seconds, then one row of values a line. */
  data: (number | null)[][];
  /** The same for the legend, where it is not what is drawn. */
  said?: (number | null)[][] | undefined;
  log?: boolean;
  /** It counts things: no ticks between whole numbers. */
  whole?: boolean;
  format: (value: number) => string;
  /** For the ticks of the axis; by default the same. */
  tick?: (value: number) => string;
}

const HEIGHT_PX = 132;
const FONT = '11px system-ui, sans-serif';
const WHOLE_STEPS = [1, 2, 5]
  .flatMap(step => [0, 1, 2, 3, 4, 5].map(power => step * 10 ** power))
  .sort((a, b) => a - b);
const LOG_TICKS_MS = [10, 100, 1000, 10_000, 60_000, 600_000, 3_600_000];

function seriesOf(line: Line, format: (value: number) => string): uPlot.Series {
  const colour = colourOf(line.token);
  return {
    label: line.label,
    stroke: colour,
    width: line.dash ? 1 : 1.5,
    points: { show: false },
    ...(line.fill ? { fill: paleColourOf(line.token) } : {}),
    ...(line.dash ? { dash: [4, 4] } : {}),
    ...(line.stepped && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
    value: (_plot, value) => (value === null ? '—' : format(value)),
  };
}

function axesOf(log: boolean, whole: boolean, format: (value: number) => string): uPlot.Axis[] {
  const look = {
    stroke: colourOf('muted'),
    font: FONT,
    ticks: { show: false },
    grid: { stroke: colourOf('line'), width: 1 },
  };
  const values: uPlot.Axis.DynamicValues = (_plot, splits) => splits.map(v => (v === null ? '' : format(v)));
  const ticks: uPlot.Axis = log
    ? {
        splits: (_plot, _axis, low, high) => LOG_TICKS_MS.filter(tick => tick >= low && tick <= high),
        filter: (_p, s) => s,
      }
    : { space: 28, ...(whole ? { incrs: WHOLE_STEPS } : {}) };
  const times: uPlot.Axis.DynamicValues = (_plot, splits) => splits.map(clockTick);
  const time: uPlot.Axis = { ...look, grid: { show: false }, size: 22, space: 64, values: times };
  return [time, { ...look, ...ticks, values, size: 46 }];
}

function clockTick(seconds: number): string {
  const date = new Date(seconds * 1000);
  const pad = (value: number) => String(value).padStart(2, '0');
  const text = `${pad(date.getHours())}:${pad(date.getMinutes())}`;
  return date.getSeconds() === 0 ? text : `${text}:${pad(date.getSeconds())}`;
}

/** A chart with nothing in it still has a floor and a little height. */
function range(log: boolean): uPlot.Range.Function {
  return (_plot, low, high) => {
    if (log) return [Math.max(1, Math.min(low ?? 10, 10)), Math.max((high ?? 0) * 1.3, 1000)];
    return [0, Math.max((high ?? 0) * 1.15, 1)];
  };
}

function optionsOf(
  { lines, log = false, whole = false, format, tick = format }: ChartProps,
  width: number,
): uPlot.Options {
  return {
    width,
    height: HEIGHT_PX,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'overview' }, y: false, points: { size: 5 } },
    scales: { x: { time: true }, y: { range: range(log), ...(log ? { distr: 3 as const } : {}) } },
    axes: axesOf(log, whole, tick),
    series: [{}, ...lines.map(line => seriesOf(line, format))],
  };
}

/** The legend is its own list: it says the latest values, or those under the cursor. */
function Legend({ lines, data, said = data, at, format }: ChartProps & { at: number | undefined }) {
  const last = (data[0]?.length ?? 0) - 1;
  return (
    <ul class="legend">
      {lines.map((line, i) => {
        const value = said[i + 1]?.[at ?? last];
        return (
          <li key={line.label}>
            <i class={`key key-${line.token} ${line.dash ? 'key-dash' : ''}`} />
            {line.label} <b>{value === null || value === undefined ? '—' : format(value)}</b>
          </li>
        );
      })}
    </ul>
  );
}

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const [at, setAt] = useState<number>();

  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const draw = () => {
      plot.current?.destroy();
      const options = optionsOf(latest.current, element.clientWidth);
      options.hooks = { setCursor: [u => setAt(u.cursor.idx ?? undefined)] };
      plot.current = new uPlot(options, latest.current.data as uPlot.AlignedData, element);
    };
    draw();
    const resized = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT_PX }),
    );
    resized.observe(element);
    const unlisten = onTheme(draw);
    return () => {
      unlisten();
      resized.disconnect();
      plot.current?.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(props.data as uPlot.AlignedData), [props.data]);

  return (
    <figure class="chart card">
      <figcaption>{props.title}</figcaption>
      <Legend {...props} at={at} />
      <div ref={place} class="chart-plot" />
    </figure>
  );
}
