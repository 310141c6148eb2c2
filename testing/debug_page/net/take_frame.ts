// Where each frame of the monitor connection goes.

import type { Stats } from '../../../core/messages/stats.ts';
import { hub, type SnapshotFrame, type Worker } from '../state/hub_state.ts';
import { isJobEvent } from '../state/job_events.ts';
import type { Frame } from './connection.ts';

export function takeFrame(frame: Frame): void {
  if (frame.type === 'snapshot') hub.takeSnapshot(frame as unknown as SnapshotFrame);
  else if (frame.type === 'stats') hub.takeStats(frame as unknown as Stats);
  else if (frame.type.startsWith('worker_') && typeof frame['worker_id'] === 'string') {
    hub.takeWorker(frame.type, frame['worker_id'], frame['worker'] as Worker | undefined, frame);
  } else if (isJobEvent(frame)) hub.takeJobEvent(frame);
}
