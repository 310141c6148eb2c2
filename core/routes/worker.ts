import type { RedisClock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Connection } from '../connections/connection.ts';
import { HubError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Frame } from '../messages/codec.ts';
import { jsonText } from '../messages/json.ts';
import type { Fleet } from '../services/fleet.ts';
import type { JobTraces } from '../services/job_traces.ts';
import type { Statistics } from '../services/statistics.ts';
import type { Machine, Slot } from '../services/slot.ts';
import { refOf } from '../store/keys.ts';
import { RETRY_AFTER_MS } from '../store/redis_link.ts';
import type { Finish, Finished, Report, Sign, Store } from '../store/store.ts';
import { LateProgress, ProgressGate, StaleNotices } from './worker_gates.ts';
import { reply, replyText } from './common.ts';
import type { Handlers, Router } from './router.ts';

export interface WorkerServices {
  config: Config;
  log: Log;
  clock: RedisClock;
  store: Store;
  fleet: Fleet;
  statistics: Statistics;
  traces: JobTraces;
  router: () => Router;
}

interface LeaseMessage {
  job_id: string;
  lease_id: string;
  request_id?: string | undefined;
}

/** @property code of an error, for the log */
type Terminal = Pick<Finish, 'kind' | 'payload' | 'retryable'> & { code?: string | undefined };

/** Room for the code and the message of an error beside its details. */
const ERROR_BYTES_MAX = 64 * 1024;

/** What the log names a lease by. */
const namesOf = ({ job_id, lease_id }: LeaseMessage, slot: Slot | undefined) => ({
  job_id,
  worker_id: slot?.worker_id,
  attempt: Number.parseInt(lease_id, 10),
});
/** What is needed of a message until Redis answers: not its result, which would be kept meanwhile. */
const envelopeOf = ({ job_id, lease_id, request_id }: LeaseMessage): LeaseMessage => ({
  job_id,
  lease_id,
  request_id,
});

export function workerRoutes(services: WorkerServices): Handlers<'worker'> {
  const { config, clock, store, fleet, statistics, traces, log } = services;
  const progress = new ProgressGate(config.PROGRESS_RATE);
  const late = new LateProgress(store);
  const stale = new StaleNotices();
  const machineOf = (connection: Connection) => fleet.machineOf(connection) as Machine;

  /** Written by hand, as each job has one. Of what is in it only a lease id of the worker's own may need escapes. */
  const ack = (connection: Connection, message: LeaseMessage, accepted: boolean, code: string | null) => {
    const { job_id, lease_id } = message;
    const why = code === null ? '' : `,"code":"${code}"`;
    connection.send(
      `{"type":"job_ack",${replyText(message)}"job_id":"${job_id}","lease_id":${JSON.stringify(lease_id)},"accepted":${accepted}${why}}`,
    );
  };

  const report = (connection: Connection, reported: LeaseMessage, sign: Sign) => {
    const { machine_id } = machineOf(connection);
    const message = envelopeOf(reported);
    const { job_id, lease_id } = message;
    const what: Report = { ref: refOf(job_id), lease_id, machine_id, ...sign };
    if (what.kind === 'progress') late.sent(what);
    store.report(what, (error, answer) => {
      if (what.kind === 'progress') late.answered(what, error === null && answer === 'late');
      if (error) return;
      if (sign.kind === 'started' && answer === 'ok') logStart(connection, message);
      if (answer === 'stale') statistics.measures.tallies.fenced += 1;
      if (answer === 'stale' && stale.mayTell(lease_id)) ack(connection, message, false, 'stale_lease');
    });
  };

  /** The slot is freed in the turn of the message, so that the next claim goes to Redis right behind it. */
  const finish = (connection: Connection, ended: LeaseMessage, terminal: Terminal) => {
    const { kind, payload, retryable, code } = terminal;
    const machine = machineOf(connection);
    const message = envelopeOf(ended);
    const { job_id, lease_id } = message;
    progress.forget(lease_id);
    late.forget(lease_id);
    const slot = machine.leased.get(lease_id);
    const lease = slot?.lease ?? null;
    const ref = refOf(job_id);
    store.finish(
      { ref, lease_id, machine_id: machine.machine_id, kind, payload, retryable },
      (error, finished) => {
        if (error) {
          if (slot && lease) fleet.keep(slot, lease);
          return refuse(connection, message, error);
        }
        ack(connection, message, finished.accepted, finished.code);
        if (finished.code === 'stale_lease') statistics.measures.tallies.fenced += 1;
        logEnd(message, { kind, code }, finished, slot, lease?.trace_id);
        if (finished.accepted) traces.ended(ref);
        if (finished.accepted) measure(kind, finished, lease?.signature ?? null);
        if (finished.freed) fleet.free(fleet.slotOf(finished.freed), lease_id);
      },
    );
    // A job taken: the worker is no longer passed over for longer each time.
    if (lease?.signature && (kind === 'completed' || kind === 'failed'))
      slot?.rejections.delete(lease.signature);
    fleet.free(slot, lease_id);
  };

  const logStart = (connection: Connection, message: LeaseMessage) => {
    if (!log.isLevelEnabled('debug')) return;
    const slot = fleet.machineOf(connection)?.leased.get(message.lease_id);
    log.debug({ ...namesOf(message, slot), trace_id: slot?.lease?.trace_id }, 'job started');
  };

  const logEnd = (
    message: LeaseMessage,
    { kind, code: error }: Pick<Terminal, 'kind' | 'code'>,
    { accepted, code, queued_ms, run_ms }: Finished,
    slot: Slot | undefined,
    trace_id: string | undefined,
  ) => {
    if (!log.isLevelEnabled('debug')) return;
    const about = { ...namesOf(message, slot), trace_id };
    if (!accepted) log.debug({ ...about, code }, `job ${kind}: refused`);
    else if (kind === 'completed') log.debug({ ...about, queued_ms, run_ms }, 'job completed');
    else if (kind === 'failed') log.debug({ ...about, code: error }, 'attempt failed');
    else log.debug(about, `job ${kind}`);
  };

  const measure = (kind: Finish['kind'], finished: Finished, signature: string | null) => {
    if (kind === 'completed') {
      const job_type = signature === null ? null : fleet.dispatcher.typeOf(signature);
      statistics.measures.completed(job_type, finished.queued_ms, finished.run_ms);
    }
    if (kind === 'failed') statistics.measures.failed();
  };

  /** Redis has not decided: the worker keeps its message. */
  const refuse = (connection: Connection, message: LeaseMessage, error: Error) => {
    const { job_id, lease_id } = message;
    const told =
      error instanceof HubError && error.code === 'unavailable'
        ? new HubError('unavailable', error.message, {
            ...(error.details as object),
            job_id,
            lease_id,
            retry_after_ms: RETRY_AFTER_MS,
          })
        : error;
    services.router().fail(connection, message.request_id, told);
  };

  /** Opaque JSON within its limit. @throws HubError `payload_too_large`, `invalid_message` */
  const bounded = (text: string, path: string, most: number) => {
    const bytes = Buffer.byteLength(text);
    if (bytes > most)
      throw new HubError('payload_too_large', `field "${path}": ${bytes} bytes, at most ${most} are taken`);
    return text;
  };

  /** What the hub hands on without looking into it. */
  const asWritten = (frame: Frame, name: 'data' | 'result') =>
    bounded(frame.text.member(name) ?? 'null', name, config.MAX_RESULT_BYTES);

  return {
    ping: (connection, message) =>
      connection.sendMessage(reply(message, { type: 'pong', server_time: clock.now() })),

    // -> worker_registered, then assignments
    register_worker: (connection, message) => {
      const indexes =
        message.gpus?.map(gpu => gpu.index) ?? Array.from({ length: message.gpu_count ?? 1 }, (_, i) => i);
      const registered = fleet.register(connection, message, jobs => {
        connection.sendMessage(
          reply(message, {
            type: 'worker_registered',
            machine_id: message.machine_id,
            worker_ids: indexes.map(index => `${message.machine_id}:gpu${index}`),
            lease_ms: config.LEASE_MS,
            heartbeat_interval_ms: config.HEARTBEAT_INTERVAL_MS,
            resend_ms: config.RESEND_MS,
            jobs,
          }),
        );
      });
      connection.alone = true;
      return registered.finally(() => {
        connection.alone = false;
      });
    },

    // -> heartbeat_ack
    worker_heartbeat: async (connection, message) => {
      const { abandon, outputs } = await fleet.heartbeat(machineOf(connection), message);
      connection.sendMessage(
        reply(message, { type: 'heartbeat_ack', server_time: clock.now(), abandon, outputs }),
      );
    },

    job_started: (connection, message) => report(connection, message, { kind: 'started' }),

    job_progress: (connection, message, frame) => {
      const data = message.data === undefined ? '' : asWritten(frame, 'data');
      const text = message.message === undefined ? '' : JSON.stringify(message.message);
      progress.offer(message.lease_id, () => {
        if (!fleet.machineOf(connection)) return;
        report(connection, message, { kind: 'progress', progress: message.progress, message: text, data });
      });
    },

    job_output: (connection, message, frame) => {
      report(connection, message, { kind: 'output', index: message.index, data: asWritten(frame, 'data') });
    },

    // Each -> job_ack
    job_completed: (connection, message, frame) =>
      finish(connection, message, {
        kind: 'completed',
        payload: asWritten(frame, 'result'),
        retryable: true,
      }),
    job_failed: (connection, message) => {
      const most = Math.min(ERROR_BYTES_MAX, config.MAX_RESULT_BYTES);
      const payload = bounded(jsonText(message.error, 'error'), 'error', most);
      const { code, retryable } = message.error;
      finish(connection, message, { kind: 'failed', payload, retryable, code });
    },
    job_cancelled: (connection, message) =>
      finish(connection, message, { kind: 'cancelled', payload: '', retryable: true }),
    job_released: (connection, message) =>
      finish(connection, message, { kind: 'released', payload: '', retryable: true }),
    job_rejected: (connection, message) => {
      const slot = machineOf(connection).leased.get(message.lease_id);
      if (slot) passOver(slot, message.retry_after_ms);
      finish(connection, message, { kind: 'rejected', payload: '', retryable: true });
    },

    // -> worker_draining
    worker_drain: (connection, message) => {
      const worker_ids = fleet.drain(machineOf(connection), message.worker_ids, message.reason);
      const reason = message.reason === undefined ? {} : { reason: message.reason };
      connection.sendMessage(reply(message, { type: 'worker_draining', worker_ids, ...reason }));
    },

    // -> worker_resumed
    worker_resume: (connection, message) => {
      const worker_ids = fleet.resume(machineOf(connection), message.worker_ids);
      connection.sendMessage(reply(message, { type: 'worker_resumed', worker_ids }));
    },
  };

  /** Others first for this signature, from this moment on: before the slot is free. */
  function passOver(slot: Slot, retry_after_ms: number | undefined): void {
    if (slot.lease?.signature) fleet.dispatcher.reject(slot, slot.lease.signature, retry_after_ms);
  }
}
