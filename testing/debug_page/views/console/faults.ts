import { RefusedError } from '../../net/connection.ts';

/** What the hub found wrong, by the path of the field. */
export type Faults = ReadonlyMap<string, string>;

export const NO_FAULTS: Faults = new Map();

export function faultsOf(error: unknown): Faults {
  if (!(error instanceof RefusedError) || !Array.isArray(error.details)) return NO_FAULTS;
  const faults = error.details as { path?: unknown; message?: unknown }[];
  return new Map(faults.map(({ path, message }) => [String(path), String(message)]));
}
