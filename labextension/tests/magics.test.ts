import { expect, test } from "vitest";
import { findMissingMagic } from "../src/lab/magics";

test.each([
  ["UsageError: Line magic function `%k8s_pods` not found.\n", "k8s_pods"],
  ["UsageError: Cell magic `%%query_db` not found.\n", "query_db"],
  ["UsageError: Line magic function `%matplotlob` not found.\n", null],
  ["k8s_pods", null],
])("of %j the missing magic is %j", (text, name) => {
  expect(findMissingMagic(text)).toBe(name);
});
