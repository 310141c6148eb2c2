import { useState } from 'preact/hooks';

const SAID_MS = 1500;

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [said, setSaid] = useState('');
  const copy = async () => {
    // The clipboard exists only in secure contexts: not on http of another machine.
    const done = await navigator.clipboard?.writeText(text).then(
      () => true,
      () => false,
    );
    setSaid(done ? 'copied' : 'not allowed here');
    setTimeout(() => setSaid(''), SAID_MS);
  };
  return (
    <button type="button" class="quiet" onClick={() => void copy()}>
      {said || label}
    </button>
  );
}
