import { useEffect, useState } from 'preact/hooks';
import { RefusedError } from '../../net/connection.ts';
import { link } from '../../net/hub_link.ts';
import { hubNow } from '../../state/hub_clock.ts';
import type { Job } from '../../state/job_events.ts';
import { waitingReason } from '../../state/waiting_reason.ts';
import { count, duration } from '../../text/format.ts';
import { Text } from '../../text/text.tsx';
import { Card } from '../../ui/card.tsx';

const ASK_EVERY_MS = 2000;

interface Explanation {
  position: number | null;
  eta_ms: { low: number; high: number } | null;
  slots_total: number;
  reasons: { code: string; count: number; message: string }[];
}

/** Set once a hub answered that it has no `explain_job`: then it is not asked again. */
let unexplained = false;

function useExplanation(jobId: string): Explanation | undefined {
  const [said, setSaid] = useState<Explanation>();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    const ask = async () => {
      if (unexplained) return;
      const answer = await link.request({ type: 'explain_job', job_id: jobId }).catch((error: Error) => {
        if (error instanceof RefusedError && error.code === 'unknown_type') unexplained = true;
        return undefined;
      });
      if (answer !== undefined) setSaid(answer as unknown as Explanation);
      timer = setTimeout(() => void ask(), ASK_EVERY_MS);
    };
    void ask();
    return () => clearTimeout(timer);
  }, [jobId]);
  return said;
}

/** Why it waits: the sentence first, then the slots that keep it out, on one scale. */
export function WhyCard({ job }: { job: Job }) {
  const said = useExplanation(job.job_id);
  const reason = waitingReason(job, hubNow());
  const tone = reason.stuck ? 'bad' : job.status === 'scheduled' ? 'planned' : 'waiting';
  const position = said?.position ?? job.position;
  return (
    <Card title="Why it waits" tone={tone}>
      <p class="sentence">
        <b>{said?.reasons[0]?.message ?? reason.text}</b>
        {position !== null && ` Position ${position}.`}
        {said?.eta_ms != null &&
          ` Expected start in ${duration(said.eta_ms.low)} – ${duration(said.eta_ms.high)}.`}
      </p>
      {said !== undefined && (
        <ul class="funnel">
          {said.reasons.map(({ code, count: slots }) => (
            <li key={code}>
              <span class="mono">
                <Text value={code} />
              </span>
              <span class="load">
                <i
                  class="fill-closed"
                  style={{ width: `${(slots / Math.max(1, said.slots_total)) * 100}%` }}
                />
              </span>
              <span class="num">
                {count(slots)} of {count(said.slots_total)}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
