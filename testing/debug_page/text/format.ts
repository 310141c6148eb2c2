// Numbers and times for people: at most two units, thin grouping, tabular.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const pad = (value: number) => String(value).padStart(2, '0');

/** `0.4s`, `41s`, `14m02s`, `3h12m`, `2d04h`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return '—';
  const value = Math.max(0, ms);
  if (value < 1000) return `${Math.round(value)}ms`;
  if (value < 10 * SECOND) return `${(value / SECOND).toFixed(1)}s`;
  if (value < MINUTE) return `${Math.floor(value / SECOND)}s`;
  if (value < HOUR) return `${Math.floor(value / MINUTE)}m${pad(Math.floor((value % MINUTE) / SECOND))}s`;
  if (value < DAY) return `${Math.floor(value / HOUR)}h${pad(Math.floor((value % HOUR) / MINUTE))}m`;
  return `${Math.floor(value / DAY)}d${pad(Math.floor((value % DAY) / HOUR))}h`;
}

/** `100ms`, `1s`, `10m`: for ticks, which are round. */
export function roundDuration(ms: number): string {
  const units = [
    [HOUR, 'h'],
    [MINUTE, 'm'],
    [SECOND, 's'],
  ] as const;
  const [unit, name] = units.find(([length]) => ms >= length) ?? [1, 'ms'];
  return `${Math.round(ms / unit)}${name}`;
}

/** `1,092` */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? '—' : Math.round(value).toLocaleString('en');
}

/** `1 machine`, `1,092 machines` */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** `0`, `< 0.1`, `0.4`, `59.2`, `1,820` */
export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined) return '—';
  if (value === 0) return '0';
  if (value < 0.1) return '< 0.1';
  return value < 100 ? value.toFixed(1) : count(value);
}

/** `950`, `2.6k`, `12k`: for places with little room. */
export function short(value: number): string {
  if (value < 1000) return String(Math.round(value));
  const thousands = value / 1000;
  return `${thousands < 10 ? thousands.toFixed(1) : Math.round(thousands)}k`;
}

export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

/** `45.8 GB` of a number of MB (which are MiB, as GPUs count). */
export function memory(mb: number): string {
  return (mb / 1024).toFixed(mb < 10_240 ? 1 : 0);
}

export function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}

/** `13:02:11` by the reader's clock and zone. */
export function clock(at: number | null | undefined, withMs = false): string {
  if (at === null || at === undefined) return '—';
  const date = new Date(at);
  const text = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return withMs ? `${text}.${String(date.getMilliseconds()).padStart(3, '0')}` : text;
}

/** The whole time with its zone, for hovers. */
export function fullTime(at: number | null | undefined): string {
  return at === null || at === undefined ? '' : new Date(at).toString();
}
