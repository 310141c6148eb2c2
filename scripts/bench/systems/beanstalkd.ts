// beanstalkd by its own protocol, which is a few lines of text: jobs go into one tube, results into another. A
// connection waits for one job at a time, so a worker has one for each slot, and sends the result, the deletion and the
// next reservation in one write. The submitter puts over one connection, any number of jobs under way.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { fail, type Params, type Result, type Submitter, type System } from '../system.ts';

/** Seconds a job may run. */
const TIME_TO_RUN_S = 60;
/** Connections on which a submitter waits for results: each gets one by one. */
const RESULT_LINKS = 8;
const END_OF_LINE = Buffer.from('\r\n');

type OnReply = (words: string[], body: Buffer | undefined) => void;

/** One connection; replies come in the order of the commands. */
class Link {
  readonly #socket: Socket;
  readonly #waiting: OnReply[] = [];
  #unread: Buffer = Buffer.alloc(0);
  #corked = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('error', fail);
    socket.on('data', chunk => this.#read(chunk));
  }

  static async open(url: string): Promise<Link> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    return new Link(socket);
  }

  /** All commands of one turn leave in one write. */
  send(command: string, onReply: OnReply): void {
    this.#waiting.push(onReply);
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(command);
  }

  put(body: string, onReply: OnReply): void {
    this.send(`put 0 0 ${TIME_TO_RUN_S} ${Buffer.byteLength(body)}\r\n${body}\r\n`, onReply);
  }

  ask(command: string): Promise<string[]> {
    return new Promise(resolve => this.send(`${command}\r\n`, resolve));
  }

  #read(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    let from = 0;
    for (;;) {
      const end = this.#unread.indexOf(END_OF_LINE, from);
      if (end === -1) break;
      const words = this.#unread.toString('latin1', from, end).split(' ');
      let next = end + END_OF_LINE.length;
      let body: Buffer | undefined;
      if (words[0] === 'RESERVED') {
        const body_end = next + Number(words[2]);
        if (this.#unread.length < body_end + END_OF_LINE.length) break;
        body = this.#unread.subarray(next, body_end);
        next = body_end + END_OF_LINE.length;
      }
      from = next;
      this.#waiting.shift()?.(words, body);
    }
    this.#unread = this.#unread.subarray(from);
  }
}

function expect(wanted: string): OnReply {
  return words => {
    if (words[0] !== wanted) fail(new Error(`beanstalkd answered ${words.join(' ')} instead of ${wanted}`));
  };
}
const onDeleted = expect('DELETED');
const onInserted = expect('INSERTED');

/** Waits for jobs of a tube for ever; each is deleted once `work` is done with it. */
async function reserveAll(link: Link, tube: string, work: (body: string) => unknown): Promise<void> {
  await link.ask(`watch ${tube}`);
  const reserve = () => link.send('reserve\r\n', onReserved);
  const onReserved: OnReply = (words, body) => {
    if (body === undefined) fail(new Error(`beanstalkd answered ${words.join(' ')} instead of RESERVED`));
    void Promise.resolve(work(body.toString())).then(() => {
      link.send(`delete ${words[1]}\r\n`, onDeleted);
      reserve();
    });
  };
  reserve();
}

const jobsOf = (run_id: string) => `jobs-${run_id}`;
const resultsOf = (run_id: string) => `results-${run_id}`;

async function openAll(url: string, count: number): Promise<Link[]> {
  return Promise.all(Array.from({ length: count }, () => Link.open(url)));
}

export const system: System = {
  async openSubmitter({ url, run_id }): Promise<Submitter> {
    const [jobs, ...results] = (await openAll(url, 1 + RESULT_LINKS)) as [Link, ...Link[]];
    const listeners = new Map<number, (result: Result) => void>();
    let count = 0;
    await jobs.ask(`use ${jobsOf(run_id)}`);
    const take = (body: string) => {
      const { id, result } = JSON.parse(body) as { id: number; result: Result };
      const ended = listeners.get(id);
      listeners.delete(id);
      ended?.(result);
    };
    await Promise.all(results.map(link => reserveAll(link, resultsOf(run_id), take)));
    return {
      submit(params, acked, ended) {
        const id = count++;
        listeners.set(id, ended);
        jobs.put(JSON.stringify({ id, params }), words => {
          onInserted(words, undefined);
          acked();
        });
      },
    };
  },

  async openMachine({ url, run_id }, { slots }, handle): Promise<void> {
    const links = await openAll(url, slots);
    const serve = async (link: Link) => {
      await link.ask(`use ${resultsOf(run_id)}`);
      await reserveAll(link, jobsOf(run_id), body => {
        const { id, params } = JSON.parse(body) as { id: number; params: Params };
        link.put(JSON.stringify({ id, result: handle(params) }), onInserted);
      });
    };
    await Promise.all(links.map(serve));
  },
};
