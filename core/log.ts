import { type Logger, pino } from 'pino';
import pc from 'picocolors';

export type Log = Logger;

/** What SIGUSR2 goes through: the level that was set, more, all. */
const MORE = ['debug', 'trace'] as const;

export interface LogOptions {
  /** Lines for people, in colours or not; else one JSON object a line. */
  pretty?: 'plain' | 'colors' | undefined;
  /** Where lines go; default stdout. */
  write?: (text: string) => void;
}

/**
 * The hub's log: one line an event. Payloads and credentials are never logged; jobs are named by `job_id`, `worker_id`,
 * `client_id`, `attempt` and `trace_id`.
 *
 * What happens to machines, hubs, Redis and by operators is `info` and above. The life of each job is `debug`: at thousands
 * of jobs a second it would bury all else, and cost more than the jobs.
 */
export function makeLog(level: string, { pretty, write }: LogOptions = {}): Log {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: bare } };
  const out = write ?? ((text: string) => process.stdout.write(text));
  if (pretty !== undefined) {
    const colors = pc.createColors(pretty === 'colors');
    return pino(options, { write: line => out(prettyLine(line, colors)) });
  }
  return write === undefined ? pino(options) : pino(options, { write });
}

/** Of an error its words only: errors of Redis carry the command, with all that was in it. */
function bare(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, stack } = error;
  return { type: name, message, stack };
}

/** The level after this one: what was set, then ever more, then what was set again. */
export function nextLevel(present: string, set: string): string {
  const levels = [
    set,
    ...MORE.filter(level => pino.levels.values[level]! < (pino.levels.values[set] ?? Infinity)),
  ];
  return levels[(levels.indexOf(present) + 1) % levels.length] as string;
}

type Colors = ReturnType<typeof pc.createColors>;

const PAINT: Record<string, (colors: Colors) => (text: string) => string> = {
  fatal: colors => colors.red,
  error: colors => colors.red,
  warn: colors => colors.yellow,
  info: colors => colors.green,
};

/** Names come from the network: nothing of them may steer a terminal or hide text. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const visible = (text: string) =>
  text.replace(INVISIBLE, mark => `\\u{${(mark.codePointAt(0) as number).toString(16)}}`);

/** `18:31:02.123 INFO  machine registered  machine_id=m1 slots=2` */
function prettyLine(line: string, colors: Colors): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const name = pino.levels.labels[Number(level)] ?? '';
  const paint = PAINT[name]?.(colors) ?? colors.gray;
  const shown = Object.entries(fields).map(([key, value]) => {
    const text = typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
    return `${colors.gray(`${key}=`)}${visible(text)}`;
  });
  const head = `${colors.gray(String(time).slice(11, 23))} ${paint(name.toUpperCase().padEnd(5))}`;
  const { stack } = (err ?? {}) as { stack?: string };
  const trace = stack === undefined ? '' : `${stack.split('\n').map(visible).join('\n')}\n`;
  return `${[head, visible(String(msg ?? '')), ...shown].join(' ')}\n${trace}`;
}
