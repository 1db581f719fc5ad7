#!/usr/bin/env node
import { runStepScript } from '../pipeline/bootstrap.mjs';

await runStepScript('build-image', import.meta.url);
