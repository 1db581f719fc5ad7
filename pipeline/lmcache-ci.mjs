#!/usr/bin/env node
import { runCommandLine } from './bootstrap.mjs';

await runCommandLine(process.argv.slice(2));
