import { useEffect, useState } from 'preact/hooks';
import type { JobRecord } from '../../../../core/messages/job.ts';
import { RefusedError } from '../../net/connection.ts';
import { link } from '../../net/hub_link.ts';
import { hub } from '../../state/hub_state.ts';
import type { Job } from '../../state/job_events.ts';
import { useLive } from '../../state/live.ts';

interface WholeJob {
  /** The record as last asked for, with params, result and attempts. */
  whole: JobRecord | undefined;
  /** As events keep it up to date. */
  job: Job | undefined;
  error: string;
}

/** The record of a job, asked for again whenever an event changed its state. */
export function useWholeJob(jobId: string): WholeJob {
  useLive('jobs', 'link', 'second');
  const [whole, setWhole] = useState<JobRecord>();
  const [error, setError] = useState('');
  const job = hub.jobs.get(jobId);
  const live = link.state === 'live';
  useEffect(() => {
    if (!live) return;
    let current = true;
    link.request({ type: 'get_job', job_id: jobId }).then(
      answer => {
        const record = answer['job'] as JobRecord;
        hub.takeJobs([record]);
        if (current) setWhole(record);
      },
      (failed: Error) => {
        const gone = failed instanceof RefusedError && failed.code === 'not_found';
        if (current)
          setError(gone ? 'The hub knows no such job: it may be past its retention.' : failed.message);
      },
    );
    return () => {
      current = false;
    };
  }, [jobId, live, job?.seq]);
  return { whole, job, error };
}
