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
/** Leases a machine may name: those of its GPUs, and many times as many old ones whose ends nobody has acknowledged. */
export const RUNNING_MAX = 1000;

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

const countOf = (value: unknown) =>
  Array.isArray(value) ? value.length : isPlainObject(value) ? Object.keys(value as object).length : 0;

/**
 * Refuses a list or map by its count before its entries are looked at: zod walks all of them, and keeps each fault, before
 * it compares the count. A frame of nonsense then costs little more than reading its JSON.
 */
export function counted<S extends z.ZodType>(schema: S, most: number, what: string) {
  const checked = z.preprocess((value, context) => {
    const count = countOf(value);
    if (count > most) context.addIssue(`${count} ${what}, at most ${most} are taken`);
    return value;
  }, schema);
  // Else zod would let it be absent, as a function might make something of nothing.
  delete checked.def.in._zod.optin;
  return checked;
}

/** A list of at most so many. */
export const listOf = <I extends z.ZodType>(list: z.ZodArray<I>, most: number) =>
  counted(list.max(most), most, 'entries');

/** zod drops a key called __proto__ without a word; such a map is refused instead. */
const mapOf = <V extends z.ZodType>(keys: z.ZodString, values: V, most: number, what: string) =>
  counted(
    z
      .unknown()
      .refine(value => !Object.hasOwn(Object(value), '__proto__'), 'the key __proto__ is not taken')
      .pipe(z.record(keys, values)),
    most,
    what,
  );
const textMap = { type: 'object', additionalProperties: { type: 'string' } } as const;

export const JobType = Name;
export const JobTypes = listOf(z.array(z.union([z.literal('*'), JobType])).min(1), 1024);
export const Models = listOf(z.array(Model), MODELS_MAX);
const LabelValue = z.string().max(256);

export const Labels = mapOf(Name, LabelValue, LABELS_MAX, 'labels').meta(textMap);

export const Metadata = mapOf(z.string().min(1).max(128), z.string().max(4096), 32, 'entries').meta({
  ...textMap,
  description: 'at most 32 flat strings',
});

export const Requirements = z
  .object({
    min_vram_mb: Count.optional().meta({ description: 'a slot of unknown memory never meets it' }),
    gpu_model: listOf(z.array(z.string().min(1).max(256)).min(1), 32)
      .optional()
      .meta({
        description: "any of: equal to, or a run of whole words of, the GPU's name, case ignored",
      }),
    models: listOf(z.array(Model), 64).optional().meta({ description: 'all of' }),
    labels: mapOf(Name, z.union([LabelValue, listOf(z.array(LabelValue).min(1), 64)]), LABELS_MAX, 'labels')
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
export const Running = listOf(z.array(HeldLease), RUNNING_MAX);
export type HeldLease = z.infer<typeof HeldLease>;
