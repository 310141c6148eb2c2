import type { ComponentChildren } from 'preact';

interface CardProps {
  title?: ComponentChildren;
  aside?: ComponentChildren;
  tone?: string;
  class?: string;
  children: ComponentChildren;
}

export function Card({ title, aside, tone, class: more = '', children }: CardProps) {
  return (
    <section class={`card ${tone === undefined ? '' : `edge-${tone}`} ${more}`}>
      {(title !== undefined || aside !== undefined) && (
        <header class="card-head">
          <h2>{title}</h2>
          {aside !== undefined && <div class="card-aside">{aside}</div>}
        </header>
      )}
      {children}
    </section>
  );
}
