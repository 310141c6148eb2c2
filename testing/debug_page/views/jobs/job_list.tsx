import { hub } from '../../state/hub_state.ts';
import type { Job } from '../../state/job_events.ts';
import { useNarrow } from '../../ui/use_narrow.ts';
import { useRows } from '../../ui/use_rows.ts';
import { JobCard, JobRow } from './job_row.tsx';

interface JobListProps {
  ids: readonly string[];
  selected: ReadonlySet<string>;
  /** The row that the keys are at. */
  cursor: string;
  onToggle: (jobId: string, range: boolean) => void;
  isLeaving: (job: Job) => boolean;
}

/** Cards differ in height, so they are not windowed: only so many are drawn. */
const CARDS_MAX = 60;

export function JobList(props: JobListProps) {
  return useNarrow() ? <Cards {...props} /> : <Table {...props} />;
}

function Cards({ ids, isLeaving }: JobListProps) {
  const jobs = ids.slice(0, CARDS_MAX).map(id => hub.jobs.get(id));
  return (
    <ul class="job-cards">
      {jobs.map(job => job && <JobCard key={job.job_id} job={job} leaving={isLeaving(job)} />)}
      {ids.length > CARDS_MAX && (
        <li class="muted">{ids.length - CARDS_MAX} more: narrow the filter to see them.</li>
      )}
    </ul>
  );
}

/** Only the rows near the screen are in the page; empty ones keep the place of the others. */
function Table({ ids, selected, cursor, onToggle, isLeaving }: JobListProps) {
  const { ref, first, last, rowPx } = useRows<HTMLTableSectionElement>(ids.length);
  return (
    <table class="jobs">
      <thead>
        <tr>
          <th class="pick" />
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
      <tbody ref={ref}>
        {first > 0 && <tr key="above" class="space" style={{ height: `${first * rowPx}px` }} />}
        {ids.slice(first, last).map(id => {
          const job = hub.jobs.get(id);
          return (
            job && (
              <JobRow
                key={id}
                job={job}
                leaving={isLeaving(job)}
                selected={selected.has(id)}
                cursor={id === cursor}
                onToggle={range => onToggle(id, range)}
              />
            )
          );
        })}
        {last < ids.length && (
          <tr key="below" class="space" style={{ height: `${(ids.length - last) * rowPx}px` }} />
        )}
      </tbody>
    </table>
  );
}
