import { z } from 'zod';

/** `client_id`, `machine_id`, `job_type` and label keys. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** A job id may have colons inside, so that an application can build it from its own parts. */
export const JOB_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
/** `<machine_id>:gpu<index>`: one worker is one GPU slot. */
export const WORKER_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}:gpu\d{1,3}$/;

const YEAR_MS = 366 * 24 * 3600 * 1000;
/** Delays and timeouts beyond ten years are typing errors. */
const DURATION_MS_MAX = 10 * YEAR_MS;
/** The largest time a JavaScript Date can hold. */
const TIME_MS_MAX = 8.64e15;
/** The most GPUs one machine may register: more than any chassis sold has. */
export const GPUS_MAX = 64;
const LABELS_MAX = 64;
const MODELS_MAX = 1024;

const isPlainObject = (value: unknown) =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const Name = z.string().regex(NAME, 'must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$');
export const JobId = z.string().regex(JOB_ID, 'must match ^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$');
export const WorkerId = z.string().regex(WORKER_ID, 'must look like machine1:gpu0');
/** To all but the hub a lease id is opaque: any string to 128 characters is read. */
export const LeaseId = z.string().max(128);
export const Model = z.string().min(1).max(256);
export const Reason = z.string().max(1000);
export const Time = z
  .int()
  .min(0)
  .max(TIME_MS_MAX)
  .meta({ description: 'ms since 1970 UTC, clock of Redis' });
export const Duration = z.int().min(1).max(DURATION_MS_MAX);
export const Delay = z.int().min(0).max(DURATION_MS_MAX);
export const Count = z.int().min(0);
export const Priority = z.int().min(-100).max(100);
export const Progress = z.number().min(0).max(1);
export const REQUEST_ID_MAX = 128;
export const RequestId = z.string().max(REQUEST_ID_MAX);

/** Opaque JSON: never looked into, so its cost does not grow with it. */
export const Json = z.unknown();
/** An opaque JSON object. */
export const JsonObject = z
  .unknown()
  .refine(isPlainObject, 'must be an object')
  .meta({ type: 'object', description: 'any JSON object' }) as unknown as z.ZodType<Record<string, unknown>>;

/** Required opaque JSON: zod takes an absent `unknown` for `undefined`, which would lose the field. */
export const RequiredJson = z.unknown().refine(value => value !== undefined, 'is required');

export const JobType = Name;
export const JobTypes = z
  .array(z.union([z.literal('*'), JobType]))
  .min(1)
  .max(1024);
export const Models = z.array(Model).max(MODELS_MAX);
const LabelValue = z.string().max(256);

const atMost = (most: number, what: string) =>
  [(value: object) => Object.keys(value).length <= most, `at most ${most} ${what}`] as const;

/** zod drops a key called __proto__ without a word; such a map is refused instead. */
const mapOf = <V extends z.ZodType>(keys: z.ZodString, values: V) =>
  z
    .unknown()
    .refine(value => !Object.hasOwn(Object(value), '__proto__'), 'the key __proto__ is not taken')
    .pipe(z.record(keys, values));
const textMap = { type: 'object', additionalProperties: { type: 'string' } } as const;

export const Labels = mapOf(Name, LabelValue)
  .refine(...atMost(LABELS_MAX, 'labels'))
  .meta(textMap);

export const Metadata = mapOf(z.string().min(1).max(128), z.string().max(4096))
  .refine(...atMost(32, 'entries'))
  .meta({ ...textMap, description: 'at most 32 flat strings' });

export const Requirements = z
  .object({
    min_vram_mb: Count.optional().meta({ description: 'a slot of unknown memory never meets it' }),
    gpu_model: z.array(z.string().min(1).max(256)).min(1).max(32).optional().meta({
      description: "any of: equal to, or a run of whole words of, the GPU's name, case ignored",
    }),
    models: z.array(Model).max(64).optional().meta({ description: 'all of' }),
    labels: mapOf(Name, z.union([LabelValue, z.array(LabelValue).min(1).max(64)]))
      .refine(...atMost(LABELS_MAX, 'labels'))
      .optional()
      .meta({
        type: 'object',
        additionalProperties: { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] },
        description: 'a value, or any of a list',
      }),
    gpus: z
      .int()
      .min(1)
      .max(1, 'more than one GPU at once is not built yet')
      .optional()
      .meta({ description: 'slots of one machine at once; only 1 until gangs are built' }),
    prefer_model: Model.optional().meta({ description: 'a wish, not a need' }),
  })
  .meta({ id: 'Requirements', description: 'a job goes only to a worker that meets all of these' });
export type Requirements = z.infer<typeof Requirements>;

export const JobError = z
  .object({
    code: z.string().min(1).max(128),
    message: z.string().max(16384),
    retryable: z.boolean().default(true),
    details: Json.optional(),
  })
  .meta({ id: 'JobError' });
export type JobError = z.infer<typeof JobError>;

export const HeldLease = z.object({ job_id: JobId, lease_id: LeaseId }).meta({ id: 'HeldLease' });
/** What a machine says it still answers for; more than its slots, as its outbox may hold old leases. */
export const Running = z.array(HeldLease).max(10_000);
export type HeldLease = z.infer<typeof HeldLease>;
