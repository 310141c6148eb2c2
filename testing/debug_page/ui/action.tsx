import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { link } from '../net/hub_link.ts';
import { Text } from '../text/text.tsx';

/** Something the person is asked to write before it is done. */
export interface Ask {
  label: string;
  /** What stands in the field at first. */
  value: string;
  number?: { min: number; max: number };
}

interface ActionProps {
  children: ComponentChildren;
  /** Does it, with what was written; what it resolves to is said beside the button. */
  run: (text: string) => Promise<string | undefined>;
  /** What it costs, asked before it is done. */
  confirm?: string | undefined;
  ask?: Ask | undefined;
  label?: string;
  danger?: boolean;
  /** Presses it, outside of fields; printed on it. */
  hotKey?: string | undefined;
}

type Said = { text: string; bad: boolean } | undefined;
const SAID_MS = 6000;

/** A button for something the hub does. It changes nothing by itself: the state changes when the hub says so. */
export function Action({ children, run, confirm, ask, label, danger = false, hotKey }: ActionProps) {
  const [step, setStep] = useState<'ready' | 'asking' | 'doing'>('ready');
  const [said, setSaid] = useState<Said>();
  const mounted = useRef(true);
  useEffect(() => () => void (mounted.current = false), []);
  useEffect(() => {
    if (said === undefined || said.bad) return;
    const timer = setTimeout(() => setSaid(undefined), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);

  const act = async (text: string) => {
    setStep('doing');
    const outcome = await run(text).then(
      told => (told === undefined ? undefined : { text: told, bad: false }),
      (error: Error) => ({ text: error.message, bad: true }),
    );
    if (!mounted.current) return;
    setSaid(outcome);
    setStep('ready');
  };

  const live = link.state === 'live';
  if (step === 'asking') {
    return <Question confirm={confirm} ask={ask} danger={danger} onYes={act} onNo={() => setStep('ready')} />;
  }
  return (
    <span class="action">
      <button
        type="button"
        aria-label={label}
        class={danger ? 'danger' : ''}
        disabled={!live || step === 'doing'}
        title={live ? undefined : 'not connected to the hub'}
        data-key={hotKey}
        onClick={() => (confirm === undefined && ask === undefined ? void act('') : setStep('asking'))}
      >
        {children}
        {hotKey !== undefined && <kbd>{hotKey}</kbd>}
      </button>
      {said !== undefined && (
        <span role="status" class={said.bad ? 'tone-bad' : 'muted'}>
          <Text value={said.text} />
        </span>
      )}
    </span>
  );
}

interface QuestionProps {
  confirm: string | undefined;
  ask: Ask | undefined;
  danger: boolean;
  onYes: (text: string) => Promise<void>;
  onNo: () => void;
}

function Question({ confirm, ask, danger, onYes, onNo }: QuestionProps) {
  const [text, setText] = useState(ask?.value ?? '');
  const form = useRef<HTMLFormElement>(null);
  // Before it is drawn: keys that follow at once are for it.
  useLayoutEffect(() => {
    const first = form.current?.querySelector<HTMLInputElement | HTMLButtonElement>('input, button');
    first?.focus();
    // What is typed takes the place of what stands there.
    if (first instanceof HTMLInputElement) first.select();
  }, []);
  const submit = (event: Event) => {
    event.preventDefault();
    void onYes(text);
  };
  return (
    <form
      ref={form}
      class="action asking"
      onSubmit={submit}
      onKeyDown={event => {
        if (event.key !== 'Escape') return;
        // It is an answer: the key of the page must not leave the job or machine that is asked about.
        event.stopPropagation();
        onNo();
      }}
    >
      {confirm !== undefined && <span>{confirm}</span>}
      {ask !== undefined && (
        <label>
          {ask.label}{' '}
          <input
            required
            maxLength={1000}
            value={text}
            {...(ask.number === undefined ? { size: 22 } : { type: 'number', ...ask.number })}
            onInput={event => setText(event.currentTarget.value)}
          />
        </label>
      )}
      <button type="submit" class={danger ? 'danger' : 'primary'}>
        Yes
      </button>
      <button type="button" onClick={onNo}>
        No
      </button>
    </form>
  );
}
