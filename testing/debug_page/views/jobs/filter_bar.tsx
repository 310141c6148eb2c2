import { hub } from '../../state/hub_state.ts';
import { isState, readFilter, STATES, withPart } from './job_filter.ts';

interface FilterBarProps {
  query: string;
  onQuery: (query: string) => void;
}

export function FilterBar({ query, onQuery }: FilterBarProps) {
  const { status, type } = readFilter(query);
  const types = new Set([...Object.keys(hub.stats?.by_type ?? {}), ...(type === '' ? [] : [type])]);
  return (
    <div class="filter-bar">
      <span class="filter-field">
        <input
          data-filter
          type="search"
          class="mono"
          aria-label="filter jobs"
          placeholder="status:active type:… client:… worker:… or any text"
          value={query}
          onInput={event => onQuery(event.currentTarget.value)}
        />
        <kbd>/</kbd>
      </span>
      <label>
        state{' '}
        <select
          aria-label="state"
          value={status}
          onChange={event => onQuery(withPart(query, 'status', event.currentTarget.value))}
        >
          <option value="">any</option>
          {STATES.map(state => (
            <option key={state}>{state}</option>
          ))}
          {!isState(status) && <option value={status}>no such state</option>}
        </select>
      </label>
      <label>
        type{' '}
        <select
          aria-label="type"
          value={type}
          onChange={event => onQuery(withPart(query, 'type', event.currentTarget.value))}
        >
          <option value="">any</option>
          {[...types].sort().map(name => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
    </div>
  );
}
