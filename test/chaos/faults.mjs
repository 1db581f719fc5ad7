import { answerFaults } from './answer-faults.mjs';
import { daemonFaults } from './daemon-faults.mjs';
import { engineFaults } from './engine-faults.mjs';
import { machineFaults } from './machine-faults.mjs';
import { orchestratorFaults } from './orchestrator-faults.mjs';

/**
 * All faults by where they can be made. Each does its harm to a run in an arena (`inflict`) and says whether the
 * run's end names the right reason (`isRight`).
 */
export const faultsOf = {
  process: [...orchestratorFaults, ...engineFaults, ...machineFaults, ...answerFaults],
  docker: [...orchestratorFaults, ...engineFaults, ...machineFaults],
  // They take the daemon away from every run: one at a time.
  daemon: daemonFaults,
};
