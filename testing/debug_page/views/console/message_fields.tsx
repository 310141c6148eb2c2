import type { MessageForm } from '../../protocol/generate.ts';
import type { Faults } from './faults.ts';
import { FieldInput } from './field_input.tsx';

interface MessageFieldsProps {
  form: MessageForm;
  body: Record<string, unknown>;
  faults: Faults;
  onBody: (body: Record<string, unknown>) => void;
}

/** Required fields and those in use come first; the others are one click away. */
export function MessageFields({ form, body, faults, onBody }: MessageFieldsProps) {
  const { properties = {}, required = [] } = form.schema;
  const shown = new Set([...required, ...Object.keys(form.example)]);
  const names = Object.keys(properties);
  const set = (name: string, value: unknown) => {
    const { [name]: _old, ...rest } = body;
    onBody(value === undefined ? rest : { ...rest, [name]: value });
  };
  const input = (name: string) => (
    <FieldInput
      key={`${form.type} ${name}`}
      path={name}
      name={name}
      field={properties[name] ?? {}}
      required={required.includes(name)}
      value={body[name]}
      faults={faults}
      onValue={value => set(name, value)}
    />
  );
  const optional = names.filter(name => !shown.has(name));
  const inUse = optional.some(
    name => body[name] !== undefined || [...faults.keys()].some(path => path.startsWith(name)),
  );
  return (
    <div class="fields">
      {names.length === 0 && <p class="muted">It has no fields.</p>}
      {names.filter(name => shown.has(name)).map(input)}
      {optional.length > 0 && (
        <details open={inUse}>
          <summary>{optional.length} optional fields</summary>
          {optional.map(input)}
        </details>
      )}
    </div>
  );
}
