import { useEffect, useState } from 'preact/hooks';
import type { Explanation } from '../../../../core/messages/client.ts';
import { RefusedError } from '../../net/connection.ts';
import { link } from '../../net/hub_link.ts';
import { useLive } from '../../state/live.ts';

const ASK_EVERY_MS = 2000;

/** What the hub says of a waiting job: asked at once, at each of its events, and every two seconds. */
export function useExplanation(jobId: string, seq: number): Explanation | undefined {
  useLive('link');
  const live = link.state === 'live';
  const [said, setSaid] = useState<Explanation>();
  useEffect(() => {
    if (!live) return;
    let timer: ReturnType<typeof setTimeout>;
    let current = true;
    const ask = async () => {
      const answer = await link
        .request({ type: 'explain_job', job_id: jobId })
        .catch((error: Error) => error);
      if (!current) return;
      if (!(answer instanceof Error)) setSaid(answer as unknown as Explanation);
      // An older hub does not know the question; what the page holds must do then.
      else if (answer instanceof RefusedError && answer.code === 'unknown_type') return;
      timer = setTimeout(() => void ask(), ASK_EVERY_MS);
    };
    void ask();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [jobId, seq, live]);
  return said;
}
