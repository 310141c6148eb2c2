// Loaded before core/main.js (`node --import`), so that the hub can be measured without a change to it.

import { serve } from './served.ts';

serve();
