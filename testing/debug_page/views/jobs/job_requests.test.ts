import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import type { JobRecord } from '../../../../core/messages/job.ts';
import { curlOf } from './job_requests.ts';

const job = {
  job_type: 'image',
  params: { prompt: `it's "a" $(touch /tmp/x) \`id\` \\ fox\n` },
  priority: 3,
  requirements: null,
  max_attempts: 3,
  metadata: null,
} as unknown as JobRecord;

/** What a real shell hands to the command. */
function wordsOf(command: string, env: Record<string, string> = {}): string[] {
  const script = `curl() { printf '%s\\0' "$@"; }\n${command}`;
  return execFileSync('sh', ['-c', script], { encoding: 'utf8', env }).split('\0').slice(0, -1);
}

test('the curl of a job hands its content through a shell unchanged', () => {
  const words = wordsOf(curlOf(job, 'http://hub:8000/jobs', false));
  expect(words[1]).toBe('http://hub:8000/jobs');
  expect(JSON.parse(words.at(-1) ?? '')).toEqual({
    job_type: 'image',
    params: job.params,
    priority: 3,
    max_attempts: 3,
  });
});

test('the curl of a job names the variable of the token, never the token', () => {
  const command = curlOf(job, 'https://hub/jobs', true);
  expect(command).toContain('$GPUHUB_TOKEN');
  expect(wordsOf(command, { GPUHUB_TOKEN: 't' })).toContain('Authorization: Bearer t');
});
