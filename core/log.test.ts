import { describe, expect, it } from 'vitest';
import { makeLog, nextLevel } from './log.ts';

function lines(options: Parameters<typeof makeLog>[1], level = 'info') {
  const written: string[] = [];
  const log = makeLog(level, { ...options, write: text => void written.push(text) });
  return { log, written };
}

describe('the log', () => {
  it('is one JSON object a line where no person looks', () => {
    const { log, written } = lines({});
    log.info({ job_id: 'j1', attempt: 2 }, 'job accepted');
    log.debug('not at this level');
    expect(written).toHaveLength(1);
    expect(JSON.parse(written[0] as string)).toMatchObject({
      level: 30,
      job_id: 'j1',
      attempt: 2,
      msg: 'job accepted',
    });
  });

  it('is a line for people on a terminal, with the stack of what went wrong below it', () => {
    const { log, written } = lines({ pretty: 'plain' });
    log.info({ machine_id: 'm1', slots: 2, why: 'a b' }, 'machine registered');
    log.error({ err: new Error('broken') }, 'a bug');
    expect(written[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} INFO {2}machine registered machine_id=m1 slots=2 why="a b"\n$/,
    );
    expect(written[1]).toMatch(/ERROR a bug\nError: broken\n +at /);
  });

  it('tells of an error its words, and nothing that it carries', () => {
    for (const options of [{}, { pretty: 'plain' as const }]) {
      const { log, written } = lines(options);
      const error = Object.assign(new Error('NOSCRIPT'), { command: { name: 'evalsha', args: ['canary'] } });
      log.error({ err: error }, 'a bug');
      expect(written[0]).toContain('NOSCRIPT');
      expect(written[0]).not.toContain('canary');
    }
  });

  it('has colours only when asked for', () => {
    const { log, written } = lines({ pretty: 'colors' });
    log.warn('hot');
    expect(written[0]).toContain('\u001b[');
    const plain = lines({ pretty: 'plain' });
    plain.log.warn('hot');
    expect(plain.written[0]).not.toContain('\u001b[');
  });

  it('lets nothing from the network steer the terminal', () => {
    const { log, written } = lines({ pretty: 'plain' });
    log.info({ worker_id: 'a\u001b[2Jb\nINFO forged', hidden: 'x\u202ey' }, 'msg\u0007');
    expect(written[0]?.trimEnd()).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe('the next level', () => {
  it('goes from what was set to ever more, and back', () => {
    expect(nextLevel('info', 'info')).toBe('debug');
    expect(nextLevel('debug', 'info')).toBe('trace');
    expect(nextLevel('trace', 'info')).toBe('info');
    expect(nextLevel('debug', 'debug')).toBe('trace');
    expect(nextLevel('trace', 'trace')).toBe('trace');
    expect(nextLevel('silent', 'silent')).toBe('debug');
  });
});
