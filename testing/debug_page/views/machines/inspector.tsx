import type { ComponentChildren } from 'preact';
import { hub, type Worker } from '../../state/hub_state.ts';
import { hubNow } from '../../state/hub_clock.ts';
import { useLive } from '../../state/live.ts';
import { runMs } from '../../state/job_times.ts';
import { duration, fullTime, memory, percent } from '../../text/format.ts';
import { Id, Text } from '../../text/text.tsx';
import { oneLine } from '../../text/visible.ts';
import { Bar } from '../../ui/bar.tsx';
import { go, hrefOf } from '../../ui/route.ts';
import { WORKER_TONES, WorkerStateWord } from '../../ui/state_word.tsx';
import { DrainButtons } from './drain.tsx';

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function Work({ worker }: { worker: Worker }) {
  const job = worker.job_id === null ? undefined : hub.jobs.get(worker.job_id);
  if (worker.job_id === null) return <Fact name="job">none</Fact>;
  return (
    <>
      <Fact name="job">
        <a href={hrefOf('job', worker.job_id)}>
          <Id value={worker.job_id} />
        </a>
      </Fact>
      {job !== undefined && (
        <>
          <Fact name="type">
            <Text value={job.job_type} />
          </Fact>
          <Fact name="progress">
            <Bar part={job.progress ?? 0} label="progress" /> {percent(job.progress ?? 0)}{' '}
            <Text value={oneLine(job.progress_message ?? '')} max={80} />
          </Fact>
          <Fact name="running">{duration(runMs(job, hubNow()))}</Fact>
          <Fact name="attempt">
            {job.attempt} of {job.max_attempts}
          </Fact>
        </>
      )}
    </>
  );
}

function Telemetry({ worker }: { worker: Worker }) {
  const { gpu_util, vram_used_mb, temperature_c, power_w, loaded_models } = worker.telemetry;
  const value = (number: number | null, unit: string) =>
    number === null ? '—' : `${Math.round(number)} ${unit}`;
  const total = worker.vram_mb === null ? '?' : memory(worker.vram_mb);
  return (
    <>
      <Fact name="memory">
        {vram_used_mb !== null && worker.vram_mb !== null && (
          <>
            <Bar part={vram_used_mb / worker.vram_mb} tone="closed" label="GPU memory" />{' '}
          </>
        )}
        {vram_used_mb === null ? '—' : memory(vram_used_mb)} / {total} GB
      </Fact>
      <Fact name="utilisation">{value(gpu_util, '%')}</Fact>
      <Fact name="temperature">{value(temperature_c, '°C')}</Fact>
      <Fact name="power">{value(power_w, 'W')}</Fact>
      <Fact name="loaded">
        <Text value={(loaded_models ?? []).join(', ') || '—'} max={200} />
      </Fact>
      <Fact name="on disk">
        <Text value={worker.models.join(', ') || '—'} max={200} />
      </Fact>
    </>
  );
}

/** One GPU in full, beside the others. */
export function Inspector({ workerId }: { workerId: string }) {
  useLive('workers', 'jobs', 'second');
  const worker = hub.workers.get(workerId);
  return (
    <aside class="card inspector" aria-label={`GPU ${workerId}`}>
      <header class="card-head">
        <h2 class="mono">
          <Text value={workerId} />
        </h2>
        <button type="button" class="quiet" aria-label="Close" onClick={() => go('machines')}>
          ✕
        </button>
      </header>
      {worker === undefined ? (
        <p class="muted">
          No such GPU is known here. It may have left, or its machine has not registered yet.
        </p>
      ) : (
        <Facts worker={worker} />
      )}
    </aside>
  );
}

function Facts({ worker }: { worker: Worker }) {
  const labels = Object.entries(worker.labels).map(([key, value]) => `${key}=${value}`);
  return (
    <>
      <p>
        <WorkerStateWord state={worker.status} />{' '}
        <span class="muted">
          <Text value={worker.gpu_name ?? 'GPU of unknown name'} />
        </span>
      </p>
      {(worker.status_reason !== null || worker.resume_at !== null) && (
        <p class={`tone-${WORKER_TONES[worker.status]}`}>
          <Text value={worker.status_reason ?? ''} />
          {worker.resume_at !== null && ` resumes in ${duration(worker.resume_at - hubNow())}`}
        </p>
      )}
      <dl class="facts">
        <Work worker={worker} />
        <Telemetry worker={worker} />
        <Fact name="takes">
          <Text value={worker.job_types.join(', ')} max={200} />
        </Fact>
        <Fact name="labels">
          <Text value={labels.join(', ') || '—'} max={200} />
        </Fact>
        <Fact name="version">
          <Text value={worker.version ?? '—'} />
        </Fact>
        <Fact name="heard">
          <span title={fullTime(worker.last_seen_at)}>{duration(hubNow() - worker.last_seen_at)} ago</span>
        </Fact>
        <Fact name="connected">
          <span title={fullTime(worker.connected_at)}>{duration(hubNow() - worker.connected_at)} ago</span>
        </Fact>
      </dl>
      <div class="row">
        <DrainButtons target={{ worker_id: worker.worker_id }} workers={[worker]} keys />
        <a href={hrefOf('jobs', '', { q: `worker:${worker.worker_id}` })}>Its jobs →</a>
      </div>
    </>
  );
}
