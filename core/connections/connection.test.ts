import { describe, expect, it } from 'vitest';
import { Connection } from './connection.ts';
import { framesOf } from './frames.ts';

/** A socket that takes as much as it is told to. */
function fakeWire() {
  const wire = {
    writes: [] as string[][],
    closed: [] as number[],
    stuck_bytes: 0,
    pings: 0,
    reads: [] as string[],
    terminated: 0,
    write: (texts: string[]) => void wire.writes.push(texts),
    buffered: () => wire.stuck_bytes,
    ping: () => void (wire.pings += 1),
    pause: () => void wire.reads.push('pause'),
    resume: () => void wire.reads.push('resume'),
    close: (code: number) => void wire.closed.push(code),
    terminate: () => void (wire.terminated += 1),
  };
  return wire;
}
const turn = () => new Promise<void>(resolve => setImmediate(resolve));
const bounds = { soft_bytes: 100, hard_bytes: 1000 };
const connect = () => {
  const wire = fakeWire();
  return { wire, connection: new Connection('c', 'client', 'app', wire, bounds) };
};

describe('the outbox', () => {
  it('sends all frames of a turn in one write, in order', async () => {
    const { wire, connection } = connect();
    connection.send('1');
    await Promise.resolve();
    connection.send('2');
    await turn();
    connection.send('3');
    await turn();
    expect(wire.writes).toEqual([['1', '2'], ['3']]);
  });

  it('goes first to whom was written last: what an answer brings about before the word that it was asked for', async () => {
    const order: string[] = [];
    const peers = ['asker', 'worker'].map(name => {
      const wire = fakeWire();
      wire.write = texts => void order.push(...texts.map(text => `${name} ${text}`));
      return new Connection(name, 'client', name, wire, bounds);
    });
    peers[0]?.send('accepted');
    peers[1]?.send('assigned');
    peers[0]?.send('assigned, too');
    await turn();
    expect(order).toEqual(['worker assigned', 'asker accepted', 'asker assigned, too']);
  });

  it('keeps only the newest of a key while the peer is behind, and sends it when it has caught up', async () => {
    const { wire, connection } = connect();
    wire.stuck_bytes = 200;
    for (const text of ['10 %', '20 %', '30 %']) connection.sendLatest('job', text);
    connection.sendLatest('other', 'x');
    await turn();
    expect(wire.writes).toEqual([]);
    wire.stuck_bytes = 0;
    connection.drained();
    await turn();
    expect(wire.writes).toEqual([['30 %', 'x']]);
  });

  it('sends nothing of a key that was forgotten', async () => {
    const { wire, connection } = connect();
    wire.stuck_bytes = 200;
    connection.sendLatest('job', '10 %');
    connection.forget('job');
    wire.stuck_bytes = 0;
    connection.drained();
    await turn();
    expect(wire.writes).toEqual([]);
  });

  it('closes a peer above the hard bound with 4413', () => {
    const { wire, connection } = connect();
    wire.stuck_bytes = 999;
    connection.send('xx');
    expect(wire.closed).toEqual([4413]);
    expect(connection.closed).toBe(true);
  });

  it('counts towards the hard bound what a newer frame may stand for, once a key', () => {
    const { wire, connection } = connect();
    wire.stuck_bytes = 200;
    for (let i = 0; i < 5; i++) connection.sendLatest('job', 'x'.repeat(500));
    connection.sendLatest('gone', 'x'.repeat(200));
    connection.forget('gone');
    connection.sendLatest('other', 'x'.repeat(300));
    expect(connection.closed).toBe(false);
    connection.sendLatest('another', 'x');
    expect(wire.closed).toEqual([4413]);
  });

  it('tells once that it is over', () => {
    const { connection } = connect();
    let ends = 0;
    connection.onClose(() => {
      ends += 1;
    });
    connection.ended();
    connection.ended();
    connection.close(1012, 'x');
    expect(ends).toBe(1);
  });
});

describe('a peer that is held up', () => {
  it('is read no further until it is let on, each once', () => {
    const { wire, connection } = connect();
    connection.resume('a');
    for (const act of ['pause', 'pause', 'resume', 'resume'] as const) connection[act]('a');
    expect(wire.reads).toEqual(['pause', 'resume']);
  });

  it('for several reasons is read on when all are gone, and each is told once that it holds', () => {
    const { wire, connection } = connect();
    expect(['a', 'a', 'b'].map(reason => connection.pause(reason))).toEqual([true, false, true]);
    connection.resume('a');
    connection.resume('a');
    expect([connection.paused, wire.reads]).toEqual([true, ['pause']]);
    connection.resume('b');
    expect([connection.paused, wire.reads]).toEqual([false, ['pause', 'resume']]);
    expect(connection.pause('a')).toBe(true);
  });

  it('is not taken for silent meanwhile, and hears that the hub lives', () => {
    const { wire, connection } = connect();
    connection.pause('a');
    for (let i = 0; i < 5; i++) connection.checkAlive(0);
    expect(connection.paused).toBe(true);
    expect([wire.pings, wire.terminated]).toEqual([5, 0]);
    connection.resume('a');
    for (let i = 0; i < 3; i++) connection.checkAlive(0);
    expect([wire.pings, wire.terminated]).toEqual([7, 1]);
  });

  it('is heard when it is closed: it may say goodbye', () => {
    const { wire, connection } = connect();
    connection.pause('a');
    connection.pause('b');
    connection.close(1012, 'later');
    expect(wire.reads).toEqual(['pause', 'resume']);
    connection.resume('b');
    expect(connection.pause('a')).toBe(false);
    expect(wire.reads).toHaveLength(2);
  });
});

describe('a silent peer', () => {
  it('is pinged, and cut after two unanswered pings', async () => {
    const { wire, connection } = connect();
    connection.checkAlive(60_000);
    expect(wire.pings).toBe(0);
    for (const pings of [1, 2]) {
      connection.checkAlive(0);
      expect(wire.pings).toBe(pings);
    }
    connection.checkAlive(0);
    expect(wire.terminated).toBe(1);
    expect(connection.closed).toBe(true);
  });

  it('lives on when it answers', () => {
    const { wire, connection } = connect();
    for (let i = 0; i < 10; i++) {
      connection.checkAlive(0);
      connection.heard();
    }
    expect(wire.terminated).toBe(0);
  });
});

describe('frames', () => {
  it.each([0, 1, 125, 126, 65_535, 65_536, 70_000])(
    'of %i bytes have the header that RFC 6455 says',
    length => {
      const buffer = framesOf(['x'.repeat(length)]);
      expect(buffer[0]).toBe(0x81);
      if (length < 126) expect(buffer[1]).toBe(length);
      else if (length < 65_536) expect([buffer[1], buffer.readUInt16BE(2)]).toEqual([126, length]);
      else expect([buffer[1], Number(buffer.readBigUInt64BE(2))]).toEqual([127, length]);
      expect(buffer.length - length).toBe(length < 126 ? 2 : length < 65_536 ? 4 : 10);
    },
  );

  it('count bytes, not characters', () => {
    const buffer = framesOf(['é🙂', 'a']);
    expect(buffer[1]).toBe(6);
    expect(buffer.subarray(2, 8).toString()).toBe('é🙂');
    expect([...buffer.subarray(8)]).toEqual([0x81, 1, 97]);
  });
});
