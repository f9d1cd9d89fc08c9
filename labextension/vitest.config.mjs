import { defineConfig } from "vitest/config";

// Each file in an environment of its own would cost three times the processor time.
export default defineConfig({
  test: { environment: "happy-dom", include: ["tests/**/*.test.ts"], isolate: false },
});
