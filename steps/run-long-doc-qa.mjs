#!/usr/bin/env node
import { runStepScript } from '../pipeline/bootstrap.mjs';

await runStepScript('long-doc-qa', import.meta.url);
