import { defineConfig } from 'vitest/config';

// Two cores: one worker for what measures, the rest would only disturb it.
export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/docker-e2e/**', 'test/end-to-end/**', 'test/pages/**'],
        },
      },
      // Whole runs, one after the other: they share the machine's cores and /tmp. They measure at ten times the speed
      // of what they simulate, so that a stall of the machine can spoil one: such a test may run once more.
      {
        extends: true,
        test: {
          name: 'end-to-end',
          include: ['test/end-to-end/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          retry: 1,
        },
      },
      // Opens reports in a browser and as PDF pages; needs Chromium and poppler's tools, and fails without them.
      {
        extends: true,
        test: { name: 'pages', include: ['test/pages/**/*.test.ts'], testTimeout: 60_000 },
      },
      // Needs a Docker daemon, and fails without one.
      {
        extends: true,
        test: {
          name: 'docker-e2e',
          include: ['test/docker-e2e/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
