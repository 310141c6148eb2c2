// One field of a message, edited by the control that fits its schema. An empty field is left out of the
// message; what is wrong is not stopped here, as this is a debug page: the hub says so.

import { choicesOf, controlOf, type Field, rangeOf } from '../../protocol/fields.ts';
import { JsonText, readJson, writeJson } from '../../text/json_text.ts';
import type { Faults } from './faults.ts';

/** What is being written and is no JSON yet: as it stands it goes out as a string. */
class Draft {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toJSON(): string {
    return this.text;
  }
}

export interface FieldProps {
  path: string;
  name: string;
  field: Field;
  required: boolean;
  value: unknown;
  faults: Faults;
  onValue: (value: unknown) => void;
}

function Hint({ field }: { field: Field }) {
  const parts = [rangeOf(field), field.description].filter(Boolean);
  if (field.default !== undefined) parts.push(`default ${JSON.stringify(field.default)}`);
  return parts.length === 0 ? null : <small class="muted">{parts.join(' · ')}</small>;
}

export function FieldInput(props: FieldProps) {
  const { path, name, field, required, value, faults } = props;
  const fault = faults.get(path);
  const Control = CONTROLS[controlOf(field)];
  return (
    <div class={`field field-${controlOf(field)} ${fault === undefined ? '' : 'wrong'}`}>
      <label for={`f-${path}`}>
        {name}
        {required && <span class="tone-bad">*</span>}
      </label>
      <div class="field-body">
        <Control {...props} />
        {value instanceof Draft ? (
          <small class="tone-waiting">Not JSON, so it would go out as a string: {faultOf(value.text)}</small>
        ) : (
          <>
            <Hint field={field} />
            {fault !== undefined && <small class="tone-bad">{fault}</small>}
          </>
        )}
      </div>
    </div>
  );
}

function Choice({ path, field, value, onValue }: FieldProps) {
  const choices = choicesOf(field) ?? [];
  const index = value === undefined ? -1 : choices.findIndex(choice => choice === value);
  return (
    <select
      id={`f-${path}`}
      value={index}
      onChange={event => onValue(choices[Number(event.currentTarget.value)])}
    >
      <option value={-1}>—</option>
      {choices.map((choice, i) => (
        <option key={String(choice)} value={i}>
          {String(choice)}
        </option>
      ))}
    </select>
  );
}

function NumberInput({ path, value, onValue }: FieldProps) {
  const changed = (text: string) => {
    const number = Number(text);
    onValue(text.trim() === '' ? undefined : Number.isNaN(number) ? text : (parsed(text) ?? number));
  };
  return (
    <input
      id={`f-${path}`}
      class="mono short"
      inputMode="decimal"
      value={value === undefined ? '' : String(value)}
      onInput={event => changed(event.currentTarget.value)}
    />
  );
}

function TextInput({ path, value, onValue }: FieldProps) {
  return (
    <input
      id={`f-${path}`}
      class="mono"
      spellcheck={false}
      value={value === undefined ? '' : String(value)}
      onInput={event => onValue(event.currentTarget.value === '' ? undefined : event.currentTarget.value)}
    />
  );
}

function show(value: unknown): string {
  if (value instanceof JsonText || value instanceof Draft) return value.text;
  return value === undefined ? '' : writeJson(value, 1).replace(/\n\s*/g, ' ');
}

function valueOf(text: string): JsonText | Draft | undefined {
  if (text.trim() === '') return undefined;
  return parsed(text) === undefined ? new Draft(text) : new JsonText(text);
}

/** What the browser says is wrong with it. */
function faultOf(text: string): string {
  try {
    JSON.parse(text);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

const ROWS_MAX = 24;
/** So many characters stand in a line, about. */
const LINE_CHARS = 44;

/** As high as its text. */
function rowsOf(text: string, least: number): number {
  const rows = text.split('\n').map(line => Math.max(1, Math.ceil(line.length / LINE_CHARS)));
  return Math.min(
    ROWS_MAX,
    Math.max(
      least,
      rows.reduce((sum, one) => sum + one, 0),
    ),
  );
}

/** What is written goes out as it is written, also its spaces and the digits of its numbers. */
function JsonInput({ path, field, value, onValue }: FieldProps) {
  const text = show(value);
  return (
    <textarea
      id={`f-${path}`}
      class="mono"
      rows={rowsOf(text, field.type === 'object' ? 3 : 1)}
      spellcheck={false}
      value={text}
      onInput={event => onValue(valueOf(event.currentTarget.value))}
    />
  );
}

function parsed(text: string): unknown {
  try {
    return readJson(text);
  } catch {
    return undefined;
  }
}

/** The fields of an object, folded until one of them is set. */
function Group({ path, field, value, faults, onValue }: FieldProps) {
  const held = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const set = (name: string, part: unknown) => {
    const { [name]: _old, ...rest } = held;
    const next = part === undefined ? rest : { ...rest, [name]: part };
    onValue(Object.keys(next).length === 0 ? undefined : next);
  };
  return (
    <details class="group" open={value !== undefined}>
      <summary class="muted">{Object.keys(held).length || 'no'} fields set</summary>
      {Object.entries(field.properties ?? {}).map(([name, part]) => (
        <FieldInput
          key={name}
          path={`${path}.${name}`}
          name={name}
          field={part}
          required={field.required?.includes(name) ?? false}
          value={held[name]}
          faults={faults}
          onValue={next => set(name, next)}
        />
      ))}
    </details>
  );
}

const CONTROLS = { choice: Choice, number: NumberInput, text: TextInput, group: Group, json: JsonInput };
