#!/usr/bin/env node
import { runStepScript } from '../pipeline/bootstrap.mjs';

await runStepScript('launch-containers', import.meta.url);
