import { useEffect, useState } from 'preact/hooks';
import { protocol } from '../../protocol/protocol.ts';
import type { Role } from '../../../../core/messages/shared.ts';
import type { Frame } from '../../net/connection.ts';
import type { MessageForm } from '../../protocol/generate.ts';
import { useLive } from '../../state/live.ts';
import { readJson, writeJson } from '../../text/json_text.ts';
import { Text } from '../../text/text.tsx';
import { Card } from '../../ui/card.tsx';
import { type Faults, faultsOf, NO_FAULTS } from './faults.ts';
import { MessageFields } from './message_fields.tsx';
import { peers } from './peers.ts';

type Said = { text: string; bad: boolean } | undefined;

const FIRST: Record<Role, string> = { client: 'submit_job', worker: 'register_worker', monitor: 'list_jobs' };

function formOf(role: Role, type: string): MessageForm {
  const forms = protocol.messages[role];
  return forms.find(form => form.type === type) ?? (forms[0] as MessageForm);
}

/** Writes one message to the chosen connection, by form or as raw text. */
export function Composer() {
  useLive('connections');
  const connection = peers.selected;
  if (connection === undefined) {
    return (
      <Card title="Send">
        <p class="empty">
          No connection yet.{' '}
          <button type="button" class="primary" onClick={() => peers.open('client', 'console')}>
            Connect as a client
          </button>
        </p>
      </Card>
    );
  }
  return <Editor key={connection.role} role={connection.role} />;
}

function Editor({ role }: { role: Role }) {
  const [type, setType] = useState(FIRST[role]);
  const [body, setBody] = useState<Record<string, unknown>>(() => formOf(role, FIRST[role]).example);
  const [raw, setRaw] = useState<string>();
  const [said, setSaid] = useState<Said>();
  const [faults, setFaults] = useState<Faults>(NO_FAULTS);
  const form = formOf(role, type);
  const reset = (next: string) => {
    setType(next);
    setBody(formOf(role, next).example);
    setFaults(NO_FAULTS);
    setSaid(undefined);
    if (raw !== undefined) setRaw(JSON.stringify(formOf(role, next).example, undefined, 2));
  };
  const send = async () => {
    setFaults(NO_FAULTS);
    setSaid(await submit(raw, { ...body, type }, setFaults));
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void send();
  };
  return (
    <Card
      title={`Send as ${peers.selected?.name ?? ''}`}
      aside={<ModeSwitch raw={raw} body={{ ...body, type }} onRaw={setRaw} onBody={setBody} />}
    >
      <div class="composer" onKeyDown={keys}>
        <label class="message-choice">
          message{' '}
          <select
            class="mono"
            aria-label="message"
            value={type}
            onChange={event => reset(event.currentTarget.value)}
          >
            {protocol.messages[role].map(one => (
              <option key={one.type}>{one.type}</option>
            ))}
          </select>
        </label>
        <p class="muted small">{form.description}</p>
        {raw === undefined ? (
          <MessageFields form={form} body={body} faults={faults} onBody={setBody} />
        ) : (
          <RawEditor text={raw} onText={setRaw} />
        )}
        <div class="row send-row">
          <button
            type="button"
            class="primary"
            disabled={peers.selected?.state !== 'open'}
            onClick={() => void send()}
          >
            Send <kbd>Ctrl ⏎</kbd>
          </button>
          <button type="button" onClick={() => reset(type)}>
            Example
          </button>
          {said !== undefined && (
            <span role="status" class={said.bad ? 'tone-bad' : 'tone-good'}>
              <Text value={said.text} max={300} />
            </span>
          )}
        </div>
      </div>
    </Card>
  );
}

/** Messages of workers have no direct answer in most cases; waiting for one would only time out. */
const UNANSWERED = new Set(['job_started', 'job_progress', 'job_output']);

async function submit(
  raw: string | undefined,
  frame: Frame,
  onFaults: (faults: Faults) => void,
): Promise<Said> {
  const connection = peers.selected;
  if (connection === undefined) return { text: 'no connection', bad: true };
  try {
    if (raw !== undefined) {
      connection.sendRaw(raw);
      return { text: 'sent as it is', bad: false };
    }
    if (UNANSWERED.has(frame.type)) {
      connection.send(frame);
      return { text: 'sent', bad: false };
    }
    const answer = await connection.request(frame);
    const about = [answer['job_id'], answer['status']].filter(Boolean).join(' ');
    return { text: `${answer.type} ${about}`, bad: false };
  } catch (error) {
    onFaults(faultsOf(error));
    return { text: (error as Error).message, bad: true };
  }
}

interface ModeProps {
  raw: string | undefined;
  body: Frame;
  onRaw: (raw: string | undefined) => void;
  onBody: (body: Record<string, unknown>) => void;
}

/** Form and JSON are two views of one message; JSON that cannot be read stays JSON. */
function ModeSwitch({ raw, body, onRaw, onBody }: ModeProps) {
  const [bad, setBad] = useState(false);
  useEffect(() => setBad(false), [raw]);
  const toForm = () => {
    if (raw === undefined) return;
    try {
      onBody(readJson(raw) as Record<string, unknown>);
      onRaw(undefined);
    } catch {
      setBad(true);
    }
  };
  return (
    <span class="segmented">
      {bad && <span class="tone-bad small">this is not JSON </span>}
      <button type="button" aria-pressed={raw === undefined} onClick={toForm}>
        form
      </button>
      <button
        type="button"
        aria-pressed={raw !== undefined}
        onClick={() => raw === undefined && onRaw(writeJson(body, 2))}
      >
        JSON
      </button>
    </span>
  );
}

function RawEditor({ text, onText }: { text: string; onText: (text: string) => void }) {
  return (
    <>
      <textarea
        class="mono raw"
        aria-label="raw frame"
        spellcheck={false}
        rows={14}
        value={text}
        onInput={event => onText(event.currentTarget.value)}
      />
      <p class="muted small">Goes out exactly as it stands, also if it is wrong.</p>
    </>
  );
}
