import { asyncapi } from './asyncapi.ts';
import { openapi } from './openapi.ts';
import { prettyJson } from './pretty_json.ts';
import { protocolMd } from './protocol_md.ts';

/** The texts of all generated references, by their file names in core/messages. */
export function generatedFiles(): Record<string, string> {
  return {
    'PROTOCOL.md': protocolMd(),
    'asyncapi.json': prettyJson(asyncapi()),
    'openapi.json': prettyJson(openapi()),
  };
}
