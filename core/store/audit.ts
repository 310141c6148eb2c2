import { setTimeout as sleep } from 'node:timers/promises';
import { KEYS, type KeyName, keyOf } from './keys.ts';

/** How an audit reads: commands, and one of our scripts with its arguments. */
export interface AuditReader {
  call(command: string, ...args: (string | number)[]): Promise<unknown>;
  run(script: string, args: (string | number)[]): Promise<unknown>;
}

export interface AuditOptions {
  /** A pause between steps, so that nobody waits for long behind an audit of a large Redis. */
  pause_ms?: number;
}

export interface AuditReport {
  /** A sentence for each thing that is wrong; empty when all is well. */
  problems: string[];
  jobs: number;
  /** Entries of queues and other indexes. */
  entries: number;
  machines: number;
}

const SHARD = 0;
/** Of keys looked at, and of jobs judged at once: a millisecond or two of Redis's time. */
const PAGE = 200;
/** More would say nothing new. */
const PROBLEMS_MAX = 1000;
const INDEXES: readonly KeyName[] = ['queue', 'scheduled', 'leases', 'deadlines', 'done', 'all'];
const AUDITOR = 'audit';

/**
 * Checks on a Redis in use that each job lies in exactly the one index its record names, that each entry of an index
 * is such a job, and that leases and slots name each other. In pages: each is judged at one instant by a script that
 * writes nothing, so what it tells is so, and it holds nobody up.
 *
 * @throws HubError `unavailable`
 */
export async function auditStore(
  reader: AuditReader,
  { pause_ms = 0 }: AuditOptions = {},
): Promise<AuditReport> {
  const audit = new Audit(reader, pause_ms);
  await audit.run();
  return audit.report;
}

class Audit {
  readonly report: AuditReport = { problems: [], jobs: 0, entries: 0, machines: 0 };
  readonly #reader: AuditReader;
  readonly #pause_ms: number;
  readonly #told = new Set<string>();

  constructor(reader: AuditReader, pause_ms: number) {
    this.#reader = reader;
    this.#pause_ms = pause_ms;
  }

  async run(): Promise<void> {
    await this.#judge(['sums']);
    for (const name of INDEXES) await this.#indexes(name);
    await this.#pages('HSCAN', keyOf(SHARD, 'jobs'), async refs => {
      this.report.jobs += refs.length;
      await this.#judge(['jobs', ...refs]);
    });
    await this.#families('machine', async machines => {
      this.report.machines += machines.length;
      await this.#judge(['machines', ...machines]);
    });
  }

  /** One index, or all of a family: `done:` has one a state, `q:` one a signature. */
  async #indexes(name: KeyName): Promise<void> {
    if (!KEYS[name].endsWith(':')) return this.#entries(keyOf(SHARD, name));
    await this.#families(name, async suffixes => {
      for (const suffix of suffixes) await this.#entries(keyOf(SHARD, name, suffix));
    });
  }

  async #entries(key: string): Promise<void> {
    await this.#pages('ZSCAN', key, async refs => {
      this.report.entries += refs.length;
      await this.#judge(['index', key, ...refs]);
    });
  }

  /** The members of one key, page by page. One may come twice. */
  async #pages(scan: 'ZSCAN' | 'HSCAN', key: string, look: (refs: string[]) => Promise<void>): Promise<void> {
    let cursor = '0';
    do {
      const page = (await this.#reader.call(scan, key, cursor, 'COUNT', PAGE)) as [string, string[]];
      cursor = page[0];
      const refs = page[1].filter((_, i) => i % 2 === 0);
      if (refs.length > 0) await look(refs);
    } while (cursor !== '0');
  }

  /** What follows the name of each key of a family, page by page. A key may come twice. */
  async #families(name: KeyName, look: (suffixes: string[]) => Promise<void>): Promise<void> {
    const prefix = keyOf(SHARD, name);
    // The braces of the tag mean nothing to Redis here; none of our names has a character that does.
    const pattern = `${prefix}*`;
    let cursor = '0';
    do {
      const page = (await this.#reader.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', PAGE)) as [
        string,
        string[],
      ];
      cursor = page[0];
      if (page[1].length > 0) await look(page[1].map(key => key.slice(prefix.length)));
      else if (this.#pause_ms > 0) await sleep(this.#pause_ms);
    } while (cursor !== '0');
  }

  async #judge(args: string[]): Promise<void> {
    const problems = (await this.#reader.run('audit', [AUDITOR, ...args])) as string[];
    for (const problem of problems) {
      if (this.#told.has(problem) || this.#told.size >= PROBLEMS_MAX) continue;
      this.#told.add(problem);
      this.report.problems.push(problem);
    }
    if (this.#pause_ms > 0) await sleep(this.#pause_ms);
  }
}
