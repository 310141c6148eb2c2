// One field of a message, edited by the control that fits its schema. An empty field is left out of the
// message; what is wrong is not stopped here, as this is a debug page: the hub says so.

import { useState } from 'preact/hooks';
import { choicesOf, controlOf, type Field, rangeOf } from '../../protocol/fields.ts';
import { JsonText, readJson, writeJson } from '../../text/json_text.ts';
import type { Faults } from './faults.ts';

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
  const { path, name, field, required, faults } = props;
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
        <Hint field={field} />
        {fault !== undefined && <small class="tone-bad">{fault}</small>}
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
  if (value instanceof JsonText) return value.text;
  return value === undefined ? '' : writeJson(value, 1).replace(/\n\s*/g, ' ');
}

/** What a text of a JSON field stands for: it goes out as it was written, or as a string while it is not valid. */
function valueOf(text: string): JsonText | string | undefined {
  if (text.trim() === '') return undefined;
  return parsed(text) === undefined ? text : new JsonText(text.trim());
}

/** Shows the text that was typed for as long as the field has the value that was made of it. */
function JsonInput({ path, value, onValue }: FieldProps) {
  const [typed, setTyped] = useState({ text: '', value: undefined as unknown });
  const own = typed.value === value;
  const text = own ? typed.text : show(value);
  const changed = (next: string) => {
    const made = valueOf(next);
    setTyped({ text: next, value: made });
    onValue(made);
  };
  return (
    <>
      <textarea
        id={`f-${path}`}
        class="mono"
        rows={Math.min(8, Math.max(1, Math.ceil(text.length / 44)))}
        spellcheck={false}
        value={text}
        onInput={event => changed(event.currentTarget.value)}
      />
      {own && typeof value === 'string' && <small class="tone-waiting">not JSON: goes out as a string</small>}
    </>
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
