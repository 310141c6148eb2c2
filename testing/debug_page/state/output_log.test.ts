import { expect, test } from 'vitest';
import type { JobEvent } from './job_events.ts';
import { OutputLog } from './output_log.ts';

const event = (type: JobEvent['type'], fields: Record<string, unknown> = {}, seq = 5): JobEvent => ({
  type,
  job_id: 'j',
  seq,
  at: 100,
  attempt: 1,
  ...fields,
});
const output = (index: number, data: unknown) => event('job_output', { index, data });
function logOf(...events: JobEvent[]): OutputLog {
  const log = new OutputLog();
  for (const one of events) log.take(one);
  return log;
}
const kinds = (log: OutputLog) => log.entries.map(entry => entry.kind);

test('texts are joined as they were cut, other JSON stays piece by piece', () => {
  const log = logOf(
    output(0, 'to'),
    output(1, 'ken\n'),
    output(2, { frame: 1 }),
    output(3, 7),
    output(4, 'end'),
  );
  expect(kinds(log)).toEqual(['text', 'json', 'json', 'text']);
  expect(log.text()).toBe('token\n{"frame":1}\n7\nend');
  expect(log.pieces).toBe(5);
});

test('what was told before is not taken twice', () => {
  const log = logOf(output(0, 'a'), output(1, 'b'), output(0, 'a'), output(1, 'b'), output(2, 'c'));
  expect(log.text()).toBe('abc');
  expect(log.next).toBe(3);
});

test('a gap is said once, whether the hub says it or the numbers do', () => {
  const said = logOf(output(0, 'a'), event('job_output_gap', { from: 1, to: 4 }), output(5, 'b'));
  expect(said.text()).toBe('a\n[outputs 1 to 4 are lost]\nb');
  expect(logOf(output(0, 'a'), output(2, 'b')).text()).toBe('a\n[output 1 is lost]\nb');
  expect(logOf(output(3, 'a')).text()).toBe('\n[outputs 0 to 2 are lost]\na');
});

test('a new assignment starts again; one that was heard of before does not', () => {
  const log = logOf(event('job_assigned', {}, 3), event('job_started', {}, 4), output(0, 'old'));
  log.take(event('job_started', {}, 4));
  expect(log.text()).toBe('old');
  log.take(event('job_assigned', { attempt: 2 }, 9));
  expect(log.entries).toEqual([]);
  expect(log.next).toBe(0);
});

test('holds 256 kB and 1,000 entries, and counts what gave way', () => {
  const log = new OutputLog();
  for (let i = 0; i < 2000; i++) log.take(output(i, { i }));
  expect(log.entries).toHaveLength(1000);
  expect(log.dropped.pieces).toBe(1000);
  log.take(output(2000, 'x'.repeat(700_000)));
  expect(log.chars).toBeLessThanOrEqual(256 * 1024);
  expect(log.dropped.chars).toBeGreaterThan(400_000);
  expect(log.text()).toMatch(/x$/);
});

test('a picture is a piece of its own, however it is sent', () => {
  const png = `data:image/png;base64,${btoa('\x89PNG\r\n\x1a\n'.padEnd(60, 'x'))}`;
  expect(kinds(logOf(output(0, 'a'), output(1, png)))).toEqual(['text', 'json']);
});
