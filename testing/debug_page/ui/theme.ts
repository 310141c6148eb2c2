// Follows the system until `t` chooses.

type Listener = () => void;
const listeners = new Set<Listener>();
const system = matchMedia('(prefers-color-scheme: dark)');
let chosen: 'light' | 'dark' | undefined;

function isDark(): boolean {
  return chosen === undefined ? system.matches : chosen === 'dark';
}

function changed(): void {
  for (const listener of listeners) listener();
}

export function toggleTheme(): void {
  chosen = isDark() ? 'light' : 'dark';
  document.documentElement.dataset['theme'] = chosen;
  changed();
}

export function onTheme(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

system.addEventListener('change', changed);

/** A colour token as canvas understands it: the browser works out `light-dark()` only for real properties. */
export function colourOf(token: string): string {
  return workedOut(`var(--${token})`);
}

/** An opaque paler one, for areas that lie over each other. */
export function paleColourOf(token: string): string {
  return workedOut(`color-mix(in srgb, var(--${token}) 38%, var(--surface))`);
}

function workedOut(colour: string): string {
  const probe = document.createElement('i');
  probe.style.color = colour;
  document.body.append(probe);
  const known = getComputedStyle(probe).color;
  probe.remove();
  return known;
}
