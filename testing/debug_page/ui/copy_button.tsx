import { useState } from 'preact/hooks';

const SAID_MS = 1500;

interface CopyButtonProps {
  /** Made only when it is asked for: it may be large. */
  text: () => string;
  label: string;
  hotKey?: string;
}

export function CopyButton({ text, label, hotKey }: CopyButtonProps) {
  const [said, setSaid] = useState('');
  const copy = async () => {
    // The clipboard exists only in secure contexts: not on http of another machine.
    const done = await navigator.clipboard?.writeText(text()).then(
      () => true,
      () => false,
    );
    setSaid(done ? 'copied' : 'not allowed here');
    setTimeout(() => setSaid(''), SAID_MS);
  };
  return (
    <button type="button" class="quiet" data-key={hotKey} onClick={() => void copy()}>
      {said || label}
      {hotKey !== undefined && said === '' && <kbd>{hotKey}</kbd>}
    </button>
  );
}
