import { useState } from 'preact/hooks';
import { useNarrow } from '../../ui/use_narrow.ts';
import { Composer } from './composer.tsx';
import { ConnectionBar } from './connection_bar.tsx';
import { FleetPanel } from './fleet_panel.tsx';
import { FramePanel } from './frame_panel.tsx';
import { LoadPanel } from './load_panel.tsx';
import { ScenarioPanel } from './scenario_panel.tsx';

export function ConsoleView() {
  const narrow = useNarrow();
  const [tab, setTab] = useState<'send' | 'frames'>('send');
  const showSend = !narrow || tab === 'send';
  return (
    <>
      <ConnectionBar />
      {narrow && (
        <div class="segmented tabs">
          <button type="button" aria-pressed={tab === 'send'} onClick={() => setTab('send')}>
            send
          </button>
          <button type="button" aria-pressed={tab === 'frames'} onClick={() => setTab('frames')}>
            frames
          </button>
        </div>
      )}
      <div class="console">
        <div class="console-left" hidden={!showSend}>
          <Composer />
          <FleetPanel />
          <LoadPanel />
          <ScenarioPanel />
        </div>
        {(!narrow || tab === 'frames') && <FramePanel />}
      </div>
    </>
  );
}
