import { link } from '../../net/hub_link.ts';
import type { Worker } from '../../state/hub_state.ts';
import { Action } from '../../ui/action.tsx';

/** What will happen, before it does. */
function price(workers: readonly Worker[]): string {
  const running = workers.filter(worker => worker.job_id !== null).length;
  if (running === 0) return 'No new jobs from now on?';
  return running === 1
    ? 'No new jobs from now on? 1 running job finishes first.'
    : `No new jobs from now on? ${running} running jobs finish first.`;
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
  const drainable = workers.some(worker => worker.status === 'idle' || worker.status === 'busy');
  const drain = async (reason: string) => {
    await link.request({ type: 'drain_worker', ...target, reason });
    return undefined;
  };
  const resume = async () => {
    await link.request({ type: 'resume_worker', ...target });
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
