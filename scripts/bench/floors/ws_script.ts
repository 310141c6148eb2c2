// A floor: as ws_echo, with one small script of six commands in Redis between the message and its answer. What any hub
// on WebSockets pays for one step of a job in Redis.

import { Redis } from 'ioredis';
import { serve } from '../served.ts';
import type { EchoFrame } from '../systems/ws_echo.ts';
import { evalshaOf } from './script.ts';
import { listen } from './ws_server.ts';

/** KEYS: the job, the queue, the count. ARGV: its id, its parameters as JSON. Leaves nothing behind but the count. */
const STEP = `
redis.call('HSET', KEYS[1], 'params', ARGV[2], 'state', 'queued')
redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HGET', KEYS[1], 'state')
return redis.call('UNLINK', KEYS[1])
`;

serve({
  open: async (redis_url: string) => {
    const redis = new Redis(redis_url);
    const step = await evalshaOf(redis, STEP);
    return listen<EchoFrame>((_path, send) => frame => {
      const id = String(frame.id);
      void step([`floor:${id}`, 'floor:queue', 'floor:count'], [id, JSON.stringify(frame.params)]).then(() =>
        send(frame),
      );
    });
  },
});
