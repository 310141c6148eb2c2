/**
 * Kill points, for fault tests: the hub ends itself with SIGKILL at one exact moment of one Redis script, as a machine
 * does that loses its power there.
 *
 * Off unless the environment says `GPUHUB_KILL_POINT=<script>:<moment>[:<n>]`, which main.ts reads once: the process dies
 * when the moment is reached for the n-th time (default 1). It is no setting of a hub, so config.ts does not know it.
 * While it is off each moment costs one comparison.
 */

/**
 * - `before`   the script is about to be sent: Redis will not run it
 * - `sent`     its bytes are on their way: Redis runs it, the reply finds nobody
 * - `replied`  the reply is here, and nothing was done with it: no frame has left for a peer
 * - `told`     what follows from the reply was done in this turn, frames for peers among it
 */
export const MOMENTS = ['before', 'sent', 'replied', 'told'] as const;
export type Moment = (typeof MOMENTS)[number];

let armed: { script: string; moment: Moment; left: number; die: () => void } | undefined;

/**
 * Arms the kill point that a text names; none disarms.
 *
 * @param die ends the process, at once
 * @throws Error when it names none: a test that kills nothing must not pass
 */
export function armKillPoint(text: string | undefined, die: () => void): void {
  armed = undefined;
  if (text === undefined || text === '') return;
  const [script = '', moment, times = '1', ...rest] = text.split(':');
  const left = Number(times);
  if (script === '' || !MOMENTS.includes(moment as Moment) || !(left >= 1) || rest.length > 0)
    throw new Error(`GPUHUB_KILL_POINT: "${text}" is not <script>:<${MOMENTS.join('|')}>[:<n>]`);
  armed = { script, moment: moment as Moment, left, die };
}

/** The hub is at this moment of this script, perhaps for the last time. */
export function killPoint(script: string, moment: Moment): void {
  if (armed === undefined || armed.moment !== moment) return;
  // `submit_claim` and `finish_claim` do what two scripts do.
  if (armed.script !== script && !script.split('_').includes(armed.script)) return;
  armed.left -= 1;
  if (armed.left > 0) return;
  // What was written in this turn leaves first.
  if (moment === 'sent') process.nextTick(armed.die);
  else if (moment === 'told') setImmediate(armed.die);
  else armed.die();
}
