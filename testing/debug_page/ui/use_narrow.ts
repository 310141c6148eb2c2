import { useEffect, useState } from 'preact/hooks';

const query = matchMedia('(max-width: 719px)');

/** Whether the screen is a narrow one (a phone). */
export function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const changed = () => setNarrow(query.matches);
    query.addEventListener('change', changed);
    return () => query.removeEventListener('change', changed);
  }, []);
  return narrow;
}
