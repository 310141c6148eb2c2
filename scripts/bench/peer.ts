// A producer or a worker process of a cell: `peer.ts SYSTEM producer|worker`.

import { flood, pace } from './load.ts';
import { makeResult } from './payload.ts';
import { serve } from './served.ts';
import type { Address, Machine, Submitter, System } from './system.ts';

const [name, role] = process.argv.slice(2);
const { system } = (await import(`./systems/${name}.js`)) as { system: System };

let open: Submitter | Machine | undefined;

if (role === 'producer') {
  serve({
    open: async (address: Address) => void (open = await system.openSubmitter(address)),
    flood: (plan: Parameters<typeof flood>[1]) => flood(open as Submitter, plan),
    pace: (plan: Parameters<typeof pace>[1]) => pace(open as Submitter, plan),
    close: () => open?.close(),
  });
} else {
  serve({
    open: async ({ address, slots }: { address: Address; slots: number }) =>
      void (open = await system.openMachine(address, slots, makeResult)),
    close: () => open?.close(),
  });
}
