// The floor ws_script, seen from its client: the same as ws_echo, which is answered without Redis.

export { system } from './ws_echo.ts';
