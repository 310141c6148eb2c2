const WIDTH = 200;
const HEIGHT = 18;

/** The course of one number, without axes: its shape is the message. */
export function Spark({ values, token }: { values: (number | null)[]; token: string }) {
  const known = values.map(value => value ?? 0);
  const top = Math.max(...known, 1e-9);
  const step = WIDTH / Math.max(1, known.length - 1);
  const points = known.map(
    (value, i) => `${(i * step).toFixed(1)},${(HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`,
  );
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      {known.length > 1 && <polyline points={points.join(' ')} class={`stroke-${token}`} />}
    </svg>
  );
}
