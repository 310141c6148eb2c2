// A floor: the least that a hub of our shape could do, with no guarantee at all. Submission -> script -> ack; one script
// claims up to 32 jobs, and they are pushed; result -> script -> notice. No leases, fencing, events, validation, limits,
// retries, retention or second hub; a lost socket loses its jobs.

import { Redis } from 'ioredis';
import { serve } from '../served.ts';
import type { FromClient, FromWorker } from '../systems/mini_hub.ts';
import { evalshaOf } from './script.ts';
import { listen, type Send } from './ws_server.ts';

const CLAIM_MAX = 32;

/** KEYS: the jobs, the queue. ARGV: id, parameters as JSON, priority. */
const SUBMIT = `
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
`;
/** KEYS: the jobs, the queue. ARGV: how many. Returns ids and parameters in turns. */
const CLAIM = `
local popped = redis.call('ZPOPMIN', KEYS[2], ARGV[1])
local jobs = {}
for i = 1, #popped, 2 do
  jobs[i] = popped[i]
  jobs[i + 1] = redis.call('HGET', KEYS[1], popped[i])
end
return jobs
`;
/** KEYS: the jobs, the count of those that ended. ARGV: id. */
const FINISH = `
redis.call('HDEL', KEYS[1], ARGV[1])
return redis.call('INCR', KEYS[2])
`;

const JOBS = 'mini:jobs';
const QUEUE = 'mini:queue';
const ENDED = 'mini:ended';

async function openHub(redis_url: string): Promise<number> {
  const redis = new Redis(redis_url);
  const [submit, claim, finish] = await Promise.all(
    [SUBMIT, CLAIM, FINISH].map(text => evalshaOf(redis, text)),
  );
  const submitters = new Map<string, Send>();
  let worker: Send | undefined;
  let free = 0;
  let submitted = 0;
  let waiting = 0;

  let planned = false;
  /** Once a turn; takes no more than there are jobs and slots, so that both counts hold without asking Redis. */
  const dispatch = () => {
    if (planned) return;
    planned = true;
    process.nextTick(claimAll);
  };
  const claimAll = () => {
    planned = false;
    while (free > 0 && waiting > 0) {
      const count = Math.min(free, waiting, CLAIM_MAX);
      free -= count;
      waiting -= count;
      void claim?.([JOBS, QUEUE], [count]).then(reply => {
        const jobs = reply as string[];
        for (let i = 0; i < jobs.length; i += 2) {
          worker?.({ id: jobs[i], params: JSON.parse(jobs[i + 1] as string) });
        }
      });
    }
  };

  const meetSubmitter =
    (send: Send) =>
    ({ id, params }: FromClient): void => {
      submitters.set(id, send);
      void submit?.([JOBS, QUEUE], [id, JSON.stringify(params), submitted++]).then(() => {
        send({ type: 'ack', id });
        waiting += 1;
        dispatch();
      });
    };

  const meetWorker = (send: Send) => {
    worker = send;
    return (message: FromWorker): void => {
      if (message.type === 'ready') {
        free = message.slots;
        return;
      }
      const { id, result } = message;
      void finish?.([JOBS, ENDED], [id]).then(() => {
        submitters.get(id)?.({ type: 'ended', id, result });
        submitters.delete(id);
      });
      free += 1;
      dispatch();
    };
  };

  return listen<never>((path, send) => (path === '/worker' ? meetWorker(send) : meetSubmitter(send)));
}

serve({ open: openHub });
