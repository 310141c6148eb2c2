import { type Frame } from '../../net/connection.ts';
import { link } from '../../net/hub_link.ts';
import { hub } from '../../state/hub_state.ts';

/** Asks for it, and keeps what the hub confirms: no event tells of it. */
export async function changePriority(job_id: string, priority: number): Promise<Frame> {
  const answer = await link.request({ type: 'set_priority', job_id, priority });
  hub.setPriority(job_id, priority);
  return answer;
}
