import type { EventType } from '../messages/job.ts';
import { idOf } from './keys.ts';

/** An event of a job as text members, ready to be put into a frame. */
export interface JobEvent {
  type: EventType;
  ref: string;
  job_id: string;
  seq: number;
  at: number;
  attempt: number;
  /** The further fields of the event as JSON members, e.g. `"worker_id":"m1:gpu0"`; may be empty. */
  fields: string;
}

/** What a script made happen beside its reply; texts of lua/lib/emit.lua. */
export type Effect =
  | { kind: 'event'; event: JobEvent }
  /** A queue somewhere got a job, or was paused or resumed. */
  | { kind: 'wake'; signature: string }
  /** A delayed job is due at this time (ms). */
  | { kind: 'due'; at: number }
  /** A signature Redis had not known, or no more: hubs that know it from before must match it again. */
  | { kind: 'signature'; signature: string }
  /** The worker must stop a job. */
  | { kind: 'cancel'; ref: string; worker_id: string; lease_id: string; reason: string; grace_ms: number }
  /** The worker lost its lease: x it ran out, t it was taken away. */
  | { kind: 'lost'; worker_id: string; lease_id: string; mark: 'x' | 't' }
  /** A frame about a worker of another hub, for monitors. */
  | { kind: 'worker'; frame: string }
  /** An operator's word on workers of one machine; `why` null to resume. */
  | { kind: 'drain'; worker_ids: string[]; why: string | null }
  /** Another connection registered the machine. */
  | { kind: 'replaced'; machine_id: string; connection: string };

const member = (name: string, json: string | number | undefined) =>
  json === undefined || json === '' ? '' : `"${name}":${json}`;
const members = (...all: string[]) => all.filter(text => text !== '').join(',');
const quoted = (text: string | number) => `"${text}"`;

type Fields = (parts: readonly (string | number)[]) => string;

/** The further fields of each event from its lines; ids and names need no escapes, the rest is JSON already. */
const FIELDS: Record<EventType, Fields> = {
  job_queued: ([position, reason]) =>
    members(member('position', position), member('reason', quoted(reason as string))),
  job_scheduled: ([run_at]) => member('run_at', run_at),
  job_assigned: ([worker]) => `"worker_id":"${worker}"`,
  job_started: ([worker]) => `"worker_id":"${worker}"`,
  job_progress: ([progress, message, data]) =>
    members(member('progress', progress), member('message', message), member('data', data)),
  job_output: ([index, data]) => members(member('index', index), member('data', data)),
  job_output_gap: ([from, to]) => members(member('from', from), member('to', to)),
  job_retrying: ([run_at, most, error]) =>
    members(member('run_at', run_at), member('max_attempts', most), member('error', error)),
  job_cancelling: ([reason]) => member('reason', reason),
  job_completed: ([worker, queued_ms, run_ms, result]) =>
    `"worker_id":"${worker}","queued_ms":${queued_ms},"run_ms":${run_ms},"result":${result}`,
  job_failed: ([worker, error]) =>
    members(member('worker_id', worker ? quoted(worker) : 'null'), member('error', error)),
  job_cancelled: ([reason]) => member('reason', reason),
  job_expired: () => '',
};

/** Makes an event from its parts; the same for live events and for replays. */
export function makeEvent(
  type: EventType,
  ref: string,
  seq: number,
  at: number,
  attempt: number,
  parts: (string | number)[],
): JobEvent {
  return { type, ref, job_id: idOf(ref), seq, at, attempt, fields: FIELDS[type](parts) };
}

/** The last index that an event of the output told or passed over; undefined for other events. */
export function lastOutput({ type, fields }: JobEvent): number | undefined {
  if (type !== 'job_output' && type !== 'job_output_gap') return undefined;
  const [, index] = (type === 'job_output' ? /^"index":(\d+)/ : /"to":(\d+)$/).exec(fields) ?? [];
  return Number(index);
}

/** Knows the result of a job that this hub has just completed, which Redis does not send back. */
export type ResultOf = (ref: string) => string | undefined;

/** Reads one effect. */
export function parseEffect(text: string, resultOf?: ResultOf): Effect {
  const lines = text.split('\n');
  const kind = lines[0] as string;
  if (kind.startsWith('job_')) return { kind: 'event', event: eventOf(kind as EventType, lines, resultOf) };
  const rest = lines.slice(1);
  switch (kind) {
    case 'wake':
    case 'signature':
      return { kind, signature: rest[0] as string };
    case 'due':
      return { kind, at: Number(rest[0]) };
    case 'worker':
      return { kind, frame: rest[0] as string };
    case 'drain':
      return { kind, worker_ids: (rest[0] as string).split(' '), why: rest[1] ? rest[1] : null };
    case 'lost': {
      const [worker_id, lease_id, mark] = rest.slice(4) as [string, string, 'x' | 't'];
      return { kind, worker_id, lease_id, mark };
    }
    case 'replaced':
      return { kind, machine_id: rest[0] as string, connection: rest[1] as string };
    case 'cancel':
      return cancelOrder(rest);
    default:
      throw new Error(`a script told of "${kind}", which no hub knows`);
  }
}

/** @param lines type, ref, seq, at, attempt and the further parts */
function eventOf(type: EventType, lines: string[], resultOf: ResultOf | undefined): JobEvent {
  const ref = lines[1] as string;
  const at = Number(lines[3]);
  const parts: (string | number)[] = lines.slice(5);
  if (type === 'job_completed') {
    // Since when it could have begun and when it was assigned become how long it waited and ran (ms).
    const [since, assigned] = [Number(lines[6]), Number(lines[7])];
    parts[1] = Math.max(0, assigned - since);
    parts[2] = Math.max(0, at - assigned);
    parts[3] ??= resultOf?.(ref) ?? 'null';
  }
  return makeEvent(type, ref, Number(lines[2]), at, Number(lines[4]), parts);
}

function cancelOrder(rest: string[]): Effect {
  const ref = rest[0] as string;
  const [worker_id, lease_id, reason, grace] = rest.slice(4) as [string, string, string, string];
  // A cancel's reason is a JSON string or nothing, a timeout's a bare word.
  const words = reason.startsWith('"') ? (JSON.parse(reason) as string) : reason;
  return {
    kind: 'cancel',
    ref,
    worker_id,
    lease_id,
    reason: words === '' ? 'cancelled' : words,
    grace_ms: Number(grace),
  };
}
