import type { Scenario } from '../scenario.ts';
import { scenario as crowd } from './crowd.ts';
import { scenario as depth } from './depth.ts';
import { scenario as hubs } from './hubs.ts';
import { scenario as latency } from './latency.ts';
import { scenario as obstacles } from './obstacles.ts';
import { scenario as stream } from './stream.ts';
import { scenario as throughput } from './throughput.ts';

/** All that `npm run bench` can run, in this order. Each file of this folder exports its own as `scenario`. */
export const SCENARIOS: readonly Scenario[] = [throughput, latency, depth, obstacles, crowd, stream, hubs];
