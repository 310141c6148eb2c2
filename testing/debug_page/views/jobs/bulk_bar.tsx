import { link } from '../../net/hub_link.ts';
import { hub } from '../../state/hub_state.ts';
import { hubNow } from '../../state/hub_clock.ts';
import type { Job } from '../../state/job_events.ts';
import { hasEnded } from '../../state/job_times.ts';
import { holdBack, offerUndo } from '../../state/undo.ts';
import { count } from '../../text/format.ts';
import { Action } from '../../ui/action.tsx';
import { askForEach } from './bulk.ts';
import { changePriority } from './change_priority.ts';
import { cancelRequest, PRIORITY, priceOf, retryRequest } from './job_requests.ts';

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
  const done = () => onSelect([]);
  return (
    <div class="row bulk" role="group" aria-label="selected jobs">
      <b>{count(selected.size)} selected</b>
      {alive.length > 0 && (
        <>
          <Action
            danger
            confirm={[`Cancel ${count(alive.length)}?`, priceOf(alive, hubNow())].join(' ')}
            run={() => cancel(alive, done)}
          >
            Cancel {count(alive.length)}
          </Action>
          <Action ask={PRIORITY} run={text => setPriority(alive, Number(text))}>
            Priority of {count(alive.length)}
          </Action>
        </>
      )}
      {ended.length > 0 && (
        <Action confirm={`Submit ${count(ended.length)} again as new jobs?`} run={() => retry(ended)}>
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

const askCancel = (job: { job_id: string }) => link.request(cancelRequest(job));

/** The hub cannot undo a cancel: it is held back for some seconds instead. */
function cancel(jobs: readonly Job[], done: () => void): Promise<undefined> {
  holdBack(`cancelling ${count(jobs.length)}`, async () => {
    const { text } = await askForEach(jobs, 'cancelled or cancelling', askCancel);
    return text;
  });
  done();
  return Promise.resolve(undefined);
}

async function setPriority(jobs: readonly Job[], priority: number): Promise<undefined> {
  const verb = `with priority ${priority}`.replace('-', '−');
  const { done, text } = await askForEach(jobs, verb, job => changePriority(job.job_id, priority));
  // Each goes back to its own.
  const changed = done.map(({ item }) => item);
  offerUndo(text, async () => {
    const back = await askForEach(changed, 'with their former priority', job =>
      changePriority(job.job_id, job.priority),
    );
    return back.text;
  });
}

async function retry(jobs: readonly Job[]): Promise<undefined> {
  const { done, text } = await askForEach(jobs, 'submitted again', job => link.request(retryRequest(job)));
  const made = done.map(({ answer }) => ({ job_id: String(answer['job_id']) }));
  offerUndo(text, async () => {
    const back = await askForEach(made, 'of the new jobs cancelled', askCancel);
    return back.text;
  });
}
