import type { Explanation } from '../../../../core/messages/client.ts';
import { link } from '../../net/hub_link.ts';
import { hubNow } from '../../state/hub_clock.ts';
import type { Job } from '../../state/job_events.ts';
import { waitingReason } from '../../state/waiting_reason.ts';
import { count, counted, duration } from '../../text/format.ts';
import { Text } from '../../text/text.tsx';
import { Action } from '../../ui/action.tsx';
import { Card } from '../../ui/card.tsx';
import { hrefOf } from '../../ui/route.ts';
import { funnelOf, type Verdict, verdictOf } from './explanation.ts';
import { useExplanation } from './use_explanation.ts';

/** Why it waits: the sentence first, then the GPUs that are left after each test, on one scale. */
export function WhyCard({ job }: { job: Job }) {
  const said = useExplanation(job.job_id, job.seq);
  if (said === undefined) return <FromThePage job={job} />;
  const due = job.status === 'scheduled' && job.run_at !== null ? job.run_at - hubNow() : null;
  const verdict = verdictOf(said, due);
  return (
    <Card
      title="Why it waits"
      tone={verdict.tone}
      aside={<span class="small">asked {duration(Math.max(0, hubNow() - said.as_of))} ago</span>}
    >
      <p class="sentence">
        <b>
          <Text value={verdict.sentence} />
        </b>{' '}
        <Place said={said} />
      </p>
      {verdict.advice !== '' && (
        <p class="muted">
          <Text value={verdict.advice} />
        </p>
      )}
      <Help job={job} said={said} verdict={verdict} />
      {said.slots_total > 0 && <Funnel said={said} />}
    </Card>
  );
}

/** Before the hub has answered, or when it cannot: what the lists say. */
function FromThePage({ job }: { job: Job }) {
  const reason = waitingReason(job, hubNow());
  const tone = reason.stuck ? 'bad' : job.status === 'scheduled' ? 'planned' : 'waiting';
  return (
    <Card title="Why it waits" tone={tone}>
      <p class="sentence">
        <b>
          <Text value={reason.text} />
        </b>
      </p>
    </Card>
  );
}

function Place({ said: { position, eta_ms } }: { said: Explanation }) {
  const parts: string[] = [];
  if (position !== null) parts.push(`Position ${count(position)} among its kind.`);
  if (eta_ms !== null && eta_ms.high > 0) {
    const [low, high] = [duration(eta_ms.low), duration(eta_ms.high)];
    parts.push(low === high ? `Starts in about ${low}.` : `Starts in about ${low} to ${high}.`);
  }
  return <>{parts.join(' ')}</>;
}

/** The one thing that would help, where the page can do it. */
function Help({ job, said, verdict }: { job: Job; said: Explanation; verdict: Verdict }) {
  const codes = new Set<string>(said.reasons.map(reason => reason.code));
  if (codes.has('queue_paused')) {
    const resume = async () => {
      // Its own queue and all queues may both be paused; ending a pause that is not there changes nothing.
      await link.request({ type: 'resume_queue', job_type: job.job_type });
      await link.request({ type: 'resume_queue' });
      return 'resumed';
    };
    return <Action run={resume}>Resume the queue</Action>;
  }
  if (verdict.tone === 'bad' && (codes.has('draining') || codes.has('quarantined'))) {
    return <a href={hrefOf('machines')}>Machines →</a>;
  }
  return null;
}

function Funnel({ said }: { said: Explanation }) {
  const part = (slots: number) => ({ width: `${(slots / said.slots_total) * 100}%` });
  const steps = funnelOf(said);
  return (
    <ul class="funnel">
      <li>
        <span>{counted(said.slots_total, 'GPU')} connected</span>
        <span class="load">
          <i class="fill-closed" style={part(said.slots_total)} />
        </span>
        <span />
      </li>
      {steps.map(({ code, words, count: out, left }) => (
        <li key={code} data-code={code}>
          <span>
            − {count(out)} <span class="muted">{words}</span>
          </span>
          <span class="load">
            <i class={left === 0 ? 'fill-waiting' : 'fill-closed'} style={part(left)} />
            <i class="fill-out" style={part(out)} />
          </span>
          <span>
            <b class={left === 0 ? 'tone-waiting' : ''}>{count(left)} left</b>{' '}
            <span class="mono muted wide-only">{code}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}
