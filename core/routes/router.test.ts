import { expect, test } from 'vitest';
import { readConfig } from '../config.ts';
import { Connection } from '../connections/connection.ts';
import { makeLog } from '../log.ts';
import type { Role } from '../messages/shared.ts';
import { Router, type Routes, UNDER_WAY_MAX } from './router.ts';

const turn = () => new Promise<void>(resolve => setImmediate(resolve));

/** A router whose answers to `get_job` and registrations come when the test says so. */
function routed() {
  const asked: string[] = [];
  const answers: (() => void)[] = [];
  const ask = (_connection: Connection, { job_id }: { job_id: string }) => {
    asked.push(job_id);
    return new Promise<void>(resolve => answers.push(resolve));
  };
  const register = (connection: Connection) => {
    asked.push('register');
    connection.alone = true;
    return new Promise<void>(resolve => answers.push(resolve)).finally(() => (connection.alone = false));
  };
  const note = (name: string) => () => void asked.push(name);
  const routes = {
    client: { get_job: ask, ping: note('ping') },
    worker: { register_worker: register, ping: note('ping') },
    monitor: {},
  };
  const router = new Router(routes as unknown as Routes, readConfig({}), makeLog('silent'), () => {});
  const connect = (role: Role) => {
    const reads: string[] = [];
    const wire = {
      write: () => {},
      buffered: () => 0,
      ping: () => {},
      pause: () => void reads.push('pause'),
      resume: () => void reads.push('resume'),
      close: () => {},
      terminate: () => {},
    };
    const bounds = { soft_bytes: 1_000_000, hard_bytes: 1_000_000 };
    const connection = new Connection('c', role, undefined, wire, bounds);
    const send = (message: object) => router.frame(connection, JSON.stringify(message));
    return { reads, connection, send, get: (job_id: string) => send({ type: 'get_job', job_id }) };
  };
  return { asked, answers, connect };
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `j${i}`);

test('a connection has a bounded number of requests under way: what is more waits, in its order, and is read no further', async () => {
  const { asked, answers, connect } = routed();
  const rude = connect('client');
  const all = names(3 * UNDER_WAY_MAX);
  for (const name of all.slice(0, UNDER_WAY_MAX)) rude.get(name);
  // So many are fine.
  expect(rude.reads).toEqual([]);
  for (const name of all.slice(UNDER_WAY_MAX)) rude.get(name);
  rude.send({ type: 'ping' });
  expect(asked).toEqual(all.slice(0, UNDER_WAY_MAX));
  expect(rude.reads).toEqual(['pause']);
  // Somebody else's are none of it.
  const good = connect('client');
  good.get('good');
  expect(asked).toEqual([...all.slice(0, UNDER_WAY_MAX), 'good']);
  answers.pop()?.();
  while (answers.length > 0) {
    expect(answers.length).toBeLessThanOrEqual(UNDER_WAY_MAX);
    answers.shift()?.();
    await turn();
  }
  expect(asked.filter(name => name !== 'good')).toEqual([...all, 'ping']);
  expect(rude.reads).toEqual(['pause', 'resume']);
});

test('what follows a registration is read after it, and the peer is read no further meanwhile', async () => {
  const { asked, answers, connect } = routed();
  const { send, reads } = connect('worker');
  const registration = { type: 'register_worker', machine_id: 'm', job_types: ['*'] };
  send(registration);
  send({ type: 'ping' });
  send(registration);
  send({ type: 'ping' });
  for (const known of [['register'], ['register', 'ping', 'register']]) {
    expect(asked).toEqual(known);
    answers.shift()?.();
    await turn();
  }
  expect(asked).toEqual(['register', 'ping', 'register', 'ping']);
  expect(reads).toEqual(['pause', 'resume']);
});

test('nothing of a peer that is gone is taken up', async () => {
  const { asked, answers, connect } = routed();
  const { connection, get } = connect('client');
  for (const name of names(2 * UNDER_WAY_MAX)) get(name);
  connection.ended();
  for (const answer of answers.splice(0)) answer();
  await turn();
  expect(asked).toHaveLength(UNDER_WAY_MAX);
});
