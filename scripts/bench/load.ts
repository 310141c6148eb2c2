import { makeParams } from './payload.ts';
import { nowMs, type Submitter } from './system.ts';

/** How long one flood took, from its first submission to its last completion. */
export interface Flood {
  ms: number;
}

export interface FloodPlan {
  jobs: number;
  /** Submissions without their acknowledgement, always. */
  in_flight: number;
}

export interface PacePlan {
  jobs: number;
  per_second: number;
  /**
   * Times count from when a job was due, not from when it was sent: a producer that was held up must not make its
   * jobs look faster. On an idle system that would only add the timer's own millisecond.
   */
  from_due: boolean;
}

/** Times of each job, in ms. */
export interface Paced {
  acked: number[];
  started: number[];
  noticed: number[];
}

/** Submits so many jobs, always `in_flight` of them without their acknowledgement, and waits for all to end. */
export function flood(submitter: Submitter, { jobs, in_flight }: FloodPlan): Promise<Flood> {
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

/** Submits jobs at a steady rate, whatever has become of those before, and waits for all to end. */
export function pace(submitter: Submitter, { jobs, per_second, from_due }: PacePlan): Promise<Paced> {
  return new Promise(resolve => {
    const times: Paced = { acked: [], started: [], noticed: [] };
    const begun = nowMs();
    const dueAt = (job: number) => begun + (job * 1000) / per_second;
    let sent = 0;
    const submitNext = () => {
      const from = from_due ? dueAt(sent) : nowMs();
      submitter.submit(
        makeParams(sent++),
        () => times.acked.push(nowMs() - from),
        ({ started_ms }) => {
          times.noticed.push(nowMs() - from);
          times.started.push(started_ms - from);
          if (times.noticed.length === jobs) resolve(times);
        },
      );
    };
    const tick = () => {
      while (sent < jobs && dueAt(sent) <= nowMs()) submitNext();
      if (sent < jobs) setTimeout(tick, dueAt(sent) - nowMs());
    };
    tick();
  });
}
