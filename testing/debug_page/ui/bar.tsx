/** A bar that fills by scaling alone, which costs no layout. */
export function Bar({ part, tone = 'running', label }: { part: number; tone?: string; label: string }) {
  const value = Math.min(1, Math.max(0, part));
  return (
    <span
      class="bar"
      role="progressbar"
      aria-label={label}
      aria-valuenow={Math.round(value * 100)}
      aria-valuemin={0}
      aria-valuemax={100}
    >
      <span class={`bar-fill fill-${tone}`} style={{ transform: `scaleX(${value})` }} />
    </span>
  );
}
