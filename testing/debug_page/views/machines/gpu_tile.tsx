import { hub, type Worker } from '../../state/hub_state.ts';
import { memory, percent } from '../../text/format.ts';
import { Id, Text } from '../../text/text.tsx';
import { visible } from '../../text/visible.ts';
import { Bar } from '../../ui/bar.tsx';
import { hrefOf } from '../../ui/route.ts';
import { WORKER_TONES, WorkerStateWord } from '../../ui/state_word.tsx';
import type { TileDensity } from './groups.ts';

interface TileProps {
  worker: Worker;
  selected: boolean;
}

const jobOf = (worker: Worker) => (worker.job_id === null ? undefined : hub.jobs.get(worker.job_id));
const look = ({ worker, selected }: TileProps) =>
  `gpu gpu-${worker.status} ${worker.job_id === null ? '' : 'at-work'} ${selected ? 'selected' : ''}`;

/** All are of one maker; the room is for what tells them apart. */
const shortName = (worker: Worker) => (worker.gpu_name ?? 'GPU').replace(/^NVIDIA /, '');

function Memory({ worker }: { worker: Worker }) {
  const used = worker.telemetry.vram_used_mb;
  if (worker.vram_mb === null || used === null) {
    return (
      <span class="muted no-bar">
        {worker.vram_mb === null ? 'memory unknown' : `${memory(worker.vram_mb)} GB`}
      </span>
    );
  }
  return (
    <>
      <Bar part={used / worker.vram_mb} tone="closed" label="GPU memory" />
      <span>
        {memory(used)}/{memory(worker.vram_mb)} GB
      </span>
    </>
  );
}

function Work({ worker }: { worker: Worker }) {
  const job = jobOf(worker);
  if (worker.job_id === null)
    return <div class="gpu-job no-job muted">{worker.status_reason ?? 'no job'}</div>;
  return (
    <>
      <div class="gpu-job">
        <Id value={worker.job_id} max={20} />
        <span class="muted">{job !== undefined && <Text value={job.job_type} />}</span>
      </div>
      <div class="gpu-progress">
        <Bar part={job?.progress ?? 0} label="progress" />
        <span>{percent(job?.progress ?? 0)}</span>
      </div>
    </>
  );
}

function Gauges({ worker }: { worker: Worker }) {
  const { gpu_util, temperature_c, power_w } = worker.telemetry;
  const part = (value: number | null, unit: string) =>
    value === null ? undefined : `${Math.round(value)} ${unit}`;
  const known = [part(gpu_util, '%'), part(temperature_c, '°C'), part(power_w, 'W')].filter(Boolean);
  return <div class="gpu-gauges muted">{known.length === 0 ? 'no telemetry yet' : known.join(' · ')}</div>;
}

const MODELS_SHOWN = 3;

/** Models in its memory: a job that wants one of them starts warm. */
function Loaded({ worker }: { worker: Worker }) {
  const models = worker.telemetry.loaded_models ?? [];
  if (models.length === 0) return null;
  const more = models.length - MODELS_SHOWN;
  return (
    <div class="gpu-models" title={visible(models.join(', '))}>
      {models.slice(0, MODELS_SHOWN).map(model => (
        <span key={model} class="model">
          <Text value={model} max={24} />
        </span>
      ))}
      {more > 0 && <span class="muted">+{more}</span>}
    </div>
  );
}

/** Everything of one GPU, for up to 32. */
function LargeTile(props: TileProps) {
  const { worker } = props;
  return (
    <a class={`${look(props)} gpu-large`} href={hrefOf('worker', worker.worker_id)}>
      <div class="gpu-head">
        <b class="mono">gpu{worker.index}</b>
        <span class="gpu-name muted">
          <Text value={shortName(worker)} />
        </span>
        <WorkerStateWord state={worker.status} />
      </div>
      <Work worker={worker} />
      <div class="gpu-memory">
        <Memory worker={worker} />
      </div>
      <Gauges worker={worker} />
      <Loaded worker={worker} />
    </a>
  );
}

/** Name, state, type, progress and memory, for up to 300. */
function MediumTile(props: TileProps) {
  const { worker } = props;
  const job = jobOf(worker);
  const used = worker.telemetry.vram_used_mb;
  return (
    <a class={`${look(props)} gpu-medium`} href={hrefOf('worker', worker.worker_id)}>
      <span class="mono">gpu{worker.index}</span>
      <span class={`gpu-type ${job === undefined ? `tone-${WORKER_TONES[worker.status]}` : 'muted'}`}>
        {job === undefined ? worker.status : <Text value={job.job_type} />}
      </span>
      <Bar part={job?.progress ?? 0} label="progress" />
      <Bar part={used === null ? 0 : used / (worker.vram_mb ?? used)} tone="closed" label="GPU memory" />
    </a>
  );
}

const TILES = { large: LargeTile, medium: MediumTile };

export function GpuTile({ density, ...props }: TileProps & { density: TileDensity }) {
  const Tile = TILES[density];
  return <Tile {...props} />;
}
