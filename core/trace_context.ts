/** Where something belongs in a trace: the header `traceparent` of W3C Trace Context, version 00. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  trace_id: string;
  /** 16 hexadecimal digits: the span that this belongs under. */
  span_id: string;
  sampled: boolean;
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Null for what is no traceparent: a trace that cannot be read is left out, never a reason to refuse a job. */
export function parseTraceparent(text: unknown): TraceContext | null {
  const [, trace_id, span_id, flags] = (typeof text === 'string' && TRACEPARENT.exec(text)) || [];
  if (trace_id === undefined || span_id === undefined || flags === undefined) return null;
  if (/^0+$/.test(trace_id) || /^0+$/.test(span_id)) return null;
  return { trace_id, span_id, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export const formatTraceparent = ({ trace_id, span_id, sampled }: TraceContext) =>
  `00-${trace_id}-${span_id}-${sampled ? '01' : '00'}`;
