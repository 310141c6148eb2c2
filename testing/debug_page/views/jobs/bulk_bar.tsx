import { RefusedError } from '../../net/connection.ts';
import { link } from '../../net/hub_link.ts';
import { hub } from '../../state/hub_state.ts';
import type { Job } from '../../state/job_events.ts';
import { hasEnded } from '../../state/job_times.ts';
import { count } from '../../text/format.ts';
import { Action } from '../../ui/action.tsx';
import { cancelRequest, PRIORITY, priorityRequest, retryRequest } from './job_requests.ts';

/** So many requests are under way at once: a bulk action must not crowd out the rest. */
const AT_ONCE = 16;

/** Asks for each job; says how many were done, and of the others why not. */
async function forEach(jobs: readonly Job[], done: string, request: (job: Job) => object): Promise<string> {
  const outcomes = new Map<string, number>();
  const waiting = [...jobs];
  const add = (outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  const next = async (): Promise<void> => {
    const job = waiting.shift();
    if (job === undefined) return;
    await link.request({ type: '', ...request(job) }).then(
      () => add(done),
      (error: Error) => add(error instanceof RefusedError ? error.code : error.message),
    );
    return next();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  return [...outcomes].map(([outcome, jobsOf]) => `${count(jobsOf)} ${outcome}`).join(', ');
}

interface BulkBarProps {
  selected: ReadonlySet<string>;
  /** All that match the filter. */
  ids: readonly string[];
  onSelect: (ids: Iterable<string>) => void;
}

/** What can be done to all that are selected; the buttons name the number they are about. */
export function BulkBar({ selected, ids, onSelect }: BulkBarProps) {
  const jobs = [...selected].map(id => hub.jobs.get(id)).filter(job => job !== undefined);
  const ended = jobs.filter(hasEnded);
  const alive = jobs.filter(job => !hasEnded(job));
  return (
    <div class="row bulk" role="group" aria-label="selected jobs">
      <b>{count(selected.size)} selected</b>
      {alive.length > 0 && (
        <>
          <Action
            danger
            confirm={`Cancel ${count(alive.length)}?`}
            run={() => forEach(alive, 'cancelled', cancelRequest)}
          >
            Cancel {count(alive.length)}
          </Action>
          <Action
            ask={PRIORITY}
            run={text => forEach(alive, 'changed', job => priorityRequest(job, Number(text)))}
          >
            Priority of {count(alive.length)}
          </Action>
        </>
      )}
      {ended.length > 0 && (
        <Action
          confirm={`Submit ${count(ended.length)} again as new jobs?`}
          run={() => forEach(ended, 'submitted again', retryRequest)}
        >
          Retry {count(ended.length)}
        </Action>
      )}
      <span class="spacer" />
      {ids.length > selected.size && (
        <button type="button" class="link" onClick={() => onSelect(ids)}>
          select all {count(ids.length)} that match
        </button>
      )}
      <button type="button" class="quiet" onClick={() => onSelect([])}>
        clear
      </button>
    </div>
  );
}
