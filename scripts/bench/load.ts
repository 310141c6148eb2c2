import { makeParams } from './payload.ts';
import { nowMs, type Submitter } from './system.ts';

/** How long one flood took, from its first submission to its last completion. */
export interface Flood {
  ms: number;
}

/** Times of each job, ms from the submission. */
export interface Paced {
  acked: number[];
  started: number[];
  noticed: number[];
}

/** Submits so many jobs, always `in_flight` of them without their acknowledgement, and waits for all to end. */
export function flood(
  submitter: Submitter,
  { jobs, in_flight }: { jobs: number; in_flight: number },
): Promise<Flood> {
  return new Promise(resolve => {
    const begun = nowMs();
    let sent = 0;
    let ended = 0;
    const submitNext = () => {
      if (sent < jobs) submitter.submit(makeParams(sent++), submitNext, onEnded);
    };
    const onEnded = () => {
      if (++ended === jobs) resolve({ ms: nowMs() - begun });
    };
    for (let i = 0; i < in_flight; i++) submitNext();
  });
}

/** Submits jobs at a steady rate that leaves the system idle most of the time. */
export function pace(
  submitter: Submitter,
  { jobs, per_second }: { jobs: number; per_second: number },
): Promise<Paced> {
  return new Promise(resolve => {
    const times: Paced = { acked: [], started: [], noticed: [] };
    const begun = nowMs();
    let sent = 0;
    const submitNext = () => {
      const at = nowMs();
      submitter.submit(
        makeParams(sent++),
        () => times.acked.push(nowMs() - at),
        ({ started_ms }) => {
          times.noticed.push(nowMs() - at);
          times.started.push(started_ms - at);
          if (times.noticed.length === jobs) resolve(times);
        },
      );
      if (sent < jobs) setTimeout(submitNext, begun + (sent * 1000) / per_second - nowMs());
    };
    submitNext();
  });
}
