#!/usr/bin/env node
// What package.json names as the command `gpuhub`: node runs it from any folder, and tsx reads the TypeScript.
import { register } from 'tsx/esm/api';

register();
await import('./main.ts');
