import type { Job } from '../../state/job_events.ts';
import { useNarrow } from '../../ui/use_narrow.ts';
import { JobCard, JobRow } from './job_row.tsx';

interface JobListProps {
  jobs: Job[];
  isLeaving: (job: Job) => boolean;
}

export function JobList({ jobs, isLeaving }: JobListProps) {
  if (useNarrow()) {
    return (
      <ul class="job-cards">
        {jobs.map(job => (
          <JobCard key={job.job_id} job={job} leaving={isLeaving(job)} />
        ))}
      </ul>
    );
  }
  return (
    <table class="jobs">
      <thead>
        <tr>
          <th>state</th>
          <th>job</th>
          <th>type</th>
          <th class="num" title="priority">
            pri
          </th>
          <th class="drop-2">client</th>
          <th>progress / why</th>
          <th class="num drop-4">wait</th>
          <th class="num">run</th>
          <th class="num drop-3" title="attempt of attempts">
            try
          </th>
          <th class="drop-1">worker</th>
        </tr>
      </thead>
      <tbody>
        {jobs.map(job => (
          <JobRow key={job.job_id} job={job} leaving={isLeaving(job)} />
        ))}
      </tbody>
    </table>
  );
}
