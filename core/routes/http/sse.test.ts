import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Broadcaster } from '../../services/broadcaster.ts';
import type { Jobs } from '../../services/jobs.ts';
import type { Exchange } from './server.ts';
import { streamEvents } from './sse.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it('a reader that leaves while its job is looked up leaves no watch and no timer behind', async () => {
  const response = Object.assign(new EventEmitter(), { destroyed: false });
  const exchange = { request: { headers: {} }, response } as unknown as Exchange;
  const get = async () => {
    // As node does when the socket closes.
    response.destroyed = true;
    response.emit('close');
    return { ended: false, fields: { n: 1 } };
  };
  const watch = vi.fn();
  await streamEvents(exchange, 'j1', { watch } as unknown as Broadcaster, { get } as unknown as Jobs);
  expect(watch).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});
