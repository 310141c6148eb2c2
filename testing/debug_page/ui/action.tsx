import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { link } from '../net/hub_link.ts';
import { Text } from '../text/text.tsx';

interface ActionProps {
  children: ComponentChildren;
  /** Does it; what it resolves to is said beside the button. */
  run: () => Promise<string | undefined>;
  /** What it costs, asked before it is done. */
  confirm?: string | undefined;
  label?: string;
  danger?: boolean;
}

type Said = { text: string; bad: boolean } | undefined;
const SAID_MS = 6000;

/** A button for something the hub does. It changes nothing by itself: the state changes when the hub says so. */
export function Action({ children, run, confirm, label, danger = false }: ActionProps) {
  const [step, setStep] = useState<'ready' | 'asking' | 'doing'>('ready');
  const [said, setSaid] = useState<Said>();
  const mounted = useRef(true);
  useEffect(() => () => void (mounted.current = false), []);
  useEffect(() => {
    if (said === undefined || said.bad) return;
    const timer = setTimeout(() => setSaid(undefined), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);

  const act = async () => {
    setStep('doing');
    const outcome = await run().then(
      text => (text === undefined ? undefined : { text, bad: false }),
      (error: Error) => ({ text: error.message, bad: true }),
    );
    if (!mounted.current) return;
    setSaid(outcome);
    setStep('ready');
  };

  const live = link.state === 'live';
  if (step === 'asking') {
    return (
      <span class="action asking">
        <span>{confirm}</span>
        <button type="button" class={danger ? 'danger' : 'primary'} onClick={() => void act()}>
          Yes
        </button>
        <button type="button" onClick={() => setStep('ready')}>
          No
        </button>
      </span>
    );
  }
  return (
    <span class="action">
      <button
        type="button"
        aria-label={label}
        class={danger ? 'danger' : ''}
        disabled={!live || step === 'doing'}
        title={live ? undefined : 'not connected to the hub'}
        onClick={() => (confirm === undefined ? void act() : setStep('asking'))}
      >
        {children}
      </button>
      {said !== undefined && (
        <span role="status" class={said.bad ? 'tone-bad' : 'muted'}>
          <Text value={said.text} />
        </span>
      )}
    </span>
  );
}
