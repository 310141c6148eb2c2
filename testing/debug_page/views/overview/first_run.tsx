import { link } from '../../net/hub_link.ts';
import { hub } from '../../state/hub_state.ts';
import { Action } from '../../ui/action.tsx';
import { Card } from '../../ui/card.tsx';
import { go } from '../../ui/route.ts';
import { fleet } from '../console/fleet.ts';

const SAMPLE = { job_type: 'image.generate', params: { prompt: 'a harbour at dawn' } };

/** An empty hub: each way on is one click. */
export function FirstRun() {
  if (hub.workers.size > 0 || hub.jobs.size > 0) return null;
  const submit = async () => {
    const answer = await link.request({ type: 'submit_job', ...SAMPLE });
    return `${answer['job_id']} is ${answer['status']}`;
  };
  const start = async () => {
    fleet.start(1);
    return 'mock-1 with 4 GPUs connects';
  };
  return (
    <Card title="This hub is empty" class="first-run">
      <p class="muted">No machine is connected and no job is known. Three ways to see it move:</p>
      <div class="row">
        <Action run={start}>Start a mock machine in this tab</Action>
        <Action run={submit}>Submit a sample job</Action>
        <button type="button" onClick={() => go('console')}>
          Open the console
        </button>
      </div>
    </Card>
  );
}
