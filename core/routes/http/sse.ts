import { invalidMessage } from '../../errors.ts';
import { type EventType, TERMINAL_EVENTS } from '../../messages/job.ts';
import type { Broadcaster, Listener } from '../../services/broadcaster.ts';
import type { Jobs } from '../../services/jobs.ts';
import { refOf } from '../../store/keys.ts';
import { lastOutput } from '../../store/effects.ts';
import type { JobEvent } from '../../store/store.ts';
import type { Exchange } from './server.ts';

const PING_MS = 15_000;
/** A reader this far behind is cut; it comes back with Last-Event-ID. */
const BEHIND_BYTES_MAX = 4 * 1024 * 1024;

/** What comes while output does: ids of these say how much of it was told. */
const COUNTED: ReadonlySet<EventType> = new Set<EventType>(['job_output', 'job_output_gap', 'job_progress']);

/** One reader of a job's events, as Server-Sent Events (WHATWG HTML, section 9.2). */
class EventStream implements Listener {
  readonly #exchange: Exchange;
  /** The newest output told: part of each id from then on, so that a reader that comes back gets none twice. */
  #output: number | null;

  /** @param output the newest that was told on an earlier connection, or -1 */
  constructor(exchange: Exchange, output: number) {
    this.#exchange = exchange;
    this.#output = output < 0 ? null : output;
  }

  event(event: JobEvent, frame: string): void {
    const { response } = this.#exchange;
    if (event.type === 'job_assigned') this.#output = null;
    else this.#output = lastOutput(event) ?? this.#output;
    const id = COUNTED.has(event.type) && this.#output !== null ? `${event.seq}:${this.#output}` : event.seq;
    response.write(`event: ${event.type}\nid: ${id}\ndata: ${frame}\n\n`);
    if (TERMINAL_EVENTS.has(event.type)) response.end();
    else if (response.writableLength > BEHIND_BYTES_MAX) response.destroy();
  }

  /** Redis lost the job: asked again, it is not found. */
  lost(): void {
    this.#exchange.response.end();
  }
}

/** Where the reader was: the header, or the beginning. @throws HubError `invalid_message` */
function lastEvent(exchange: Exchange): { seq: number; output: number } {
  const header = exchange.request.headers['last-event-id'];
  if (header === undefined || header === '') return { seq: 0, output: -1 };
  const match = /^(\d{1,16})(?::(\d{1,16}))?$/.exec(String(header));
  if (!match) throw invalidMessage([{ path: 'Last-Event-ID', message: 'must be a seq, or seq:index' }]);
  return { seq: Number(match[1]), output: match[2] === undefined ? -1 : Number(match[2]) };
}

/** Streams a job's events until its end. @throws HubError `not_found`, `invalid_message`, `unavailable` */
export async function streamEvents(
  exchange: Exchange,
  job_id: string,
  broadcaster: Broadcaster,
  jobs: Jobs,
): Promise<void> {
  const { response } = exchange;
  const after = lastEvent(exchange);
  const job = await jobs.get(job_id);
  // The reader left meanwhile: a listener set now would never hear of it.
  if (response.destroyed) return;
  if (job.ended && after.seq >= job.fields.n) {
    // A browser comes back by itself behind the end, until it is told this.
    response.writeHead(204).end();
    return;
  }
  const stream = new EventStream(exchange, after.output);
  let ended = false;
  await broadcaster.watch(
    stream,
    [job_id],
    { seq: { [job_id]: after.seq }, output: { [job_id]: after.output } },
    ([job]) => {
      response.writeHead(200, {
        'Content-Type': 'text/event-stream',
        'Cache-Control': 'no-store',
        'X-Accel-Buffering': 'no',
        Connection: 'keep-alive',
      });
      response.flushHeaders();
      ended = job?.ended ?? true;
    },
  );
  // Nothing more will come: the terminal event was told before.
  if (ended && !response.writableEnded) response.end();
  const ping = setInterval(() => response.write(': ping\n\n'), PING_MS);
  exchange.onOver(() => {
    clearInterval(ping);
    broadcaster.drop(stream, refOf(job_id));
    // A reader whose stream ends comes back, to another hub, and names the last event it has.
    response.end();
  });
}
