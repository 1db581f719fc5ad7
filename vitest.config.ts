import { defineConfig } from 'vitest/config';

// Projects run one after the other (groupOrder), also when `npx vitest run` runs several at once.
export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    projects: [
      {
        // Some start processes of their own or wait for real time, and the machine may stand still just then: one may run
        // once more, and the end of the run names it. A counterexample to a property is one, whatever a second try finds.
        extends: true,
        test: {
          name: 'unit',
          retry: { count: 1, condition: /^(?!Property failed)/ },
          include: ['test/**/*.test.ts'],
          exclude: ['docker-e2e', 'end-to-end', 'measuring', 'pages'].map((project) => `test/${project}/**`),
        },
      },
      // Whole programs of which no time is judged: side by side, for most of the time they wait for other processes. Four
      // whole runs on two cores may still starve one of them: such a test may run once more.
      {
        extends: true,
        test: {
          name: 'end-to-end',
          include: ['test/end-to-end/**/*.test.ts'],
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
          testTimeout: 180_000,
          retry: 1,
        },
      },
      // Whole runs that are judged by what they measure: each alone. They measure at ten times the speed of what they
      // simulate, so that a stall of the machine can spoil one: such a test may run twice more.
      {
        extends: true,
        test: {
          name: 'measuring',
          include: ['test/measuring/**/*.test.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          testTimeout: 180_000,
          retry: 2,
        },
      },
      // Opens reports in a browser and as PDF pages; needs Chromium and poppler's tools, and fails without them.
      {
        extends: true,
        test: {
          name: 'pages',
          include: ['test/pages/**/*.test.ts'],
          sequence: { groupOrder: 3 },
          testTimeout: 60_000,
        },
      },
      // Needs a Docker daemon, and fails without one. Whole programs again: one that the machine has stalled may run once more.
      {
        extends: true,
        test: {
          name: 'docker-e2e',
          retry: 1,
          include: ['test/docker-e2e/**/*.test.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 4 },
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
