interface SliderProps {
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  /** What the value means. */
  text: string;
  onValue: (value: number) => void;
}

export function Slider({ label, value, min, max, step, text, onValue }: SliderProps) {
  return (
    <label class="slider">
      <span class="muted">{label}</span>
      <input
        type="range"
        aria-label={label}
        aria-valuetext={text}
        min={min}
        max={max}
        step={step}
        value={value}
        onInput={event => onValue(Number(event.currentTarget.value))}
      />
      <output>{text}</output>
    </label>
  );
}
