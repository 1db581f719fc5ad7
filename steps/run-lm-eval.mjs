#!/usr/bin/env node
import { runStepScript } from '../pipeline/bootstrap.mjs';

await runStepScript('lm-eval', import.meta.url);
