import { useEffect, useState } from 'preact/hooks';
import { bytes } from './format.ts';
import { type ImageText, toBlob } from './image_bytes.ts';

/** A button that shows the image; nothing is decoded before it is asked for. */
export function ImageValue({ image }: { image: ImageText }) {
  const [url, setUrl] = useState<string>();
  useEffect(() => () => void (url && URL.revokeObjectURL(url)), [url]);
  const toggle = () => {
    const blob = url === undefined ? toBlob(image) : undefined;
    setUrl(blob && URL.createObjectURL(blob));
  };
  return (
    <span class="image-value">
      <button type="button" class="link" onClick={toggle}>
        {url === undefined ? 'show image' : 'hide image'}
      </button>
      <span class="muted">
        {' '}
        {image.type} · {bytes(image.bytes)}
      </span>
      {url !== undefined && <img class="preview" src={url} alt="as sent by the worker" />}
    </span>
  );
}
