import { link } from '../../net/hub_link.ts';
import { hub, type Worker } from '../../state/hub_state.ts';
import { offerUndo } from '../../state/undo.ts';
import { Action } from '../../ui/action.tsx';

/** What will happen, before it does. */
function price(workers: readonly Worker[]): string {
  const running = workers.filter(worker => worker.job_id !== null).length;
  if (running === 0) return 'No new jobs from now on?';
  return running === 1
    ? 'No new jobs from now on? 1 running job finishes first.'
    : `No new jobs from now on? ${running} running jobs finish first.`;
}

const isWorking = ({ status }: Worker) => status === 'idle' || status === 'busy';

/** Those that took jobs before do so again; those that drained already go on draining. */
async function resumeEach(name: string, workers: readonly Worker[]): Promise<string> {
  for (const { worker_id } of workers) await link.request({ type: 'resume_worker', worker_id });
  return `${name} takes jobs as before`;
}

/** Each with its own reason and end. A machine that drains by itself was not changed by the resume. */
async function drainEach(name: string, workers: readonly Worker[]): Promise<string> {
  for (const { worker_id, status_reason, resume_at } of workers) {
    if (hub.workers.get(worker_id)?.status === 'draining') continue;
    const why = {
      ...(status_reason === null ? {} : { reason: status_reason }),
      ...(resume_at === null ? {} : { resume_at }),
    };
    await link.request({ type: 'drain_worker', worker_id, ...why });
  }
  return `${name} drains as before`;
}

type Target = { machine_id: string } | { worker_id: string };

/** Drain and resume of a machine or of one GPU, over the monitor connection. */
export function DrainButtons({
  target,
  workers,
  keys = false,
}: {
  target: Target;
  workers: readonly Worker[];
  /** These are the ones that the keys press. */
  keys?: boolean;
}) {
  const name = 'machine_id' in target ? target.machine_id : target.worker_id;
  const draining = workers.some(worker => worker.status === 'draining' || worker.status === 'quarantined');
  const drainable = workers.some(isWorking);
  const drain = async (reason: string) => {
    const working = workers.filter(isWorking);
    await link.request({ type: 'drain_worker', ...target, reason });
    offerUndo(`${name} drains`, () => resumeEach(name, working));
    return undefined;
  };
  const resume = async () => {
    const drained = workers.filter(worker => worker.status === 'draining');
    await link.request({ type: 'resume_worker', ...target });
    // A quarantine that was ended cannot be put back.
    if (drained.length > 0) offerUndo(`${name} takes jobs again`, () => drainEach(name, drained));
    return undefined;
  };
  return (
    <>
      {drainable && (
        <Action
          run={drain}
          confirm={price(workers)}
          ask={{ label: 'reason', value: 'maintenance' }}
          label={`Drain ${name}`}
          hotKey={keys ? 'd' : undefined}
        >
          Drain
        </Action>
      )}
      {draining && (
        <Action run={resume} label={`Resume ${name}`} hotKey={keys ? 'u' : undefined}>
          Resume
        </Action>
      )}
    </>
  );
}
