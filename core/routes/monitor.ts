import { HubError } from '../errors.ts';
import { notFound } from '../services/jobs.ts';
import type { Operations } from '../services/operations.ts';
import { type CommonServices, commonRoutes, firstFitting, holdUp, pageBytes, reply } from './common.ts';
import type { Handlers, Router } from './router.ts';

export interface MonitorServices extends CommonServices {
  operations: Operations;
  router: () => Router;
}

export function monitorRoutes(services: MonitorServices): Handlers<'monitor'> {
  const { config, clock, store, jobs, operations } = services;
  return {
    ...commonRoutes(services),

    // -> job_accepted | error; its events come as all events do
    submit_job: (connection, message, frame) => {
      jobs.submit(message, frame, {}, (error, accepted) => {
        if (error) services.router().fail(connection, message.request_id, error);
        else connection.sendMessage(reply(message, { type: 'job_accepted', ...accepted }));
      });
      holdUp(connection, store);
    },
    // -> job_accepted of the new job
    retry_job: async (connection, message) => {
      const accepted = await jobs.retry(message.job_id);
      connection.sendMessage(reply(message, { type: 'job_accepted', ...accepted }));
    },
    set_priority: async (connection, message) => {
      const outcome = await store.setPriority(message.job_id, message.priority);
      if (outcome === 'not_found') throw notFound(message.job_id);
      if (outcome === 'ended') throw new HubError('conflict', `job ${message.job_id} has ended already`);
      connection.sendMessage(reply(message, { type: 'ok' }));
    },
    purge_jobs: async (connection, message) => {
      const count = await store.purge(message.status, message.older_than_ms ?? 0);
      connection.sendMessage(reply(message, { type: 'ok', count }));
    },

    // -> workers
    list_workers: async (connection, message) => {
      const workers = await operations.workers(message.filter ?? {});
      const shown = firstFitting(workers, pageBytes(config));
      const left_out = workers.length - shown.length;
      const told = { type: 'workers', workers: shown, ...(left_out > 0 ? { left_out } : {}) };
      connection.sendMessage(reply(message, told));
    },
    // Each -> ok
    drain_worker: async (connection, message) => {
      const { reason, resume_at } = message;
      const ids = await operations.drain(message, { reason: reason ?? null, resume_at: resume_at ?? null });
      connection.sendMessage(reply(message, { type: 'ok', count: ids.length }));
    },
    resume_worker: async (connection, message) => {
      const ids = await operations.drain(message, null);
      connection.sendMessage(reply(message, { type: 'ok', count: ids.length }));
    },
    pause_queue: async (connection, message) => {
      await operations.pause(message.job_type ?? null, { reason: message.reason ?? null, at: clock.now() });
      connection.sendMessage(reply(message, { type: 'ok' }));
    },
    resume_queue: async (connection, message) => {
      await operations.pause(message.job_type ?? null, null);
      connection.sendMessage(reply(message, { type: 'ok' }));
    },
  };
}
