// A floor: each message is parsed, written as JSON again and sent back. What any hub on WebSockets pays for a frame in
// and a frame out.

import { serve } from '../served.ts';
import type { EchoFrame } from '../systems/ws_echo.ts';
import { listen } from './ws_server.ts';

serve({ open: () => listen<EchoFrame>((_path, send) => send) });
