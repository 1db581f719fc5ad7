#!/usr/bin/env node
import { runStepScript } from '../pipeline/bootstrap.mjs';

await runStepScript('vllm-bench', import.meta.url);
