import { type Logger, pino } from 'pino';

export type Log = Logger;

/** One line an event, JSON; payloads and credentials are never logged. */
export function makeLog(level: string): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime });
}
