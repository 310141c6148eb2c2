import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readEvents, type ServerEvent } from './sse.ts';

async function read(...chunks: Uint8Array[]): Promise<ServerEvent[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  const all: ServerEvent[] = [];
  for await (const event of readEvents(body)) all.push(event);
  return all;
}

const bytes = (text: string) => new TextEncoder().encode(text);

describe('a stream of Server-Sent Events', () => {
  it('gives event, id and data; comments and unknown fields are nothing', async () => {
    const text = ': ping\n\nevent: job_output\nid: 7:0\nretry: 5\ndata: {"a":1}\n\ndata:x\ndata: y\n\n';
    expect(await read(bytes(text))).toEqual([
      { event: 'job_output', id: '7:0', data: '{"a":1}' },
      { event: 'message', id: '7:0', data: 'x\ny' },
    ]);
  });

  it('drops an event that was cut off', async () => {
    expect(await read(bytes('data: whole\n\ndata: half\n'))).toHaveLength(1);
  });

  it('reads the same wherever the chunks are cut, with any line ends', async () => {
    const text = 'event: e\r\nid: 1\r\ndata: закат 🌇\r\n\r\nevent: f\rdata: 2\r\rdata: 3\n\n';
    const whole = await read(bytes(text));
    expect(whole.map(event => event.data)).toEqual(['закат 🌇', '2', '3']);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes(text).length), { maxLength: 8 }), async cuts => {
        const places = [0, ...cuts.sort((a, b) => a - b), bytes(text).length];
        const chunks = places.slice(1).map((end, i) => bytes(text).slice(places[i], end));
        expect(await read(...chunks)).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });
});
