import { describe, expect, it } from 'vitest';
import { parse } from './codec.ts';
import { ListQuery, SubmitQuery } from './http_api.ts';

const query = (text: string) => Object.fromEntries(new URLSearchParams(text));

describe('the query of GET /jobs', () => {
  it('has the defaults of list_jobs', () => {
    expect(parse(ListQuery, {})).toEqual({ limit: 50, full: false });
  });

  it('is read from text', () => {
    const text = 'status=active&job_type=x&client_id=c&worker_id=m:gpu0&limit=7&cursor=12&full=true';
    expect(parse(ListQuery, query(text))).toEqual({
      status: 'active',
      job_type: 'x',
      client_id: 'c',
      worker_id: 'm:gpu0',
      limit: 7,
      cursor: '12',
      full: true,
    });
  });

  it.each([
    'limit=0',
    'limit=501',
    'limit=x',
    'limit=1.5',
    'limit=',
    'status=lost',
    'job_type=a b',
    'full=maybe',
  ])('%s is refused by name', text => {
    const [name = ''] = text.split('=');
    expect(() => parse(ListQuery, query(text))).toThrow(`field "${name}"`);
  });
});

describe('the query of POST /jobs', () => {
  it('waits at most a minute', () => {
    expect(parse(SubmitQuery, query('wait_ms=60000'))).toEqual({ wait_ms: 60_000 });
    expect(parse(SubmitQuery, {})).toEqual({});
    for (const bad of ['60001', '-1', 'soon', '1.5']) {
      expect(() => parse(SubmitQuery, query(`wait_ms=${bad}`))).toThrow('wait_ms');
    }
  });
});
