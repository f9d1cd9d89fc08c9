import { describe, expect, test } from "vitest";
import { age, timeLeft, date, size } from "../src/view/format";

describe("size", () => {
  test.each([
    [0, "0\u00a0B"],
    [1023, "1,023\u00a0B"],
    [1024, "1.0\u00a0KiB"],
    [1536, "1.5\u00a0KiB"],
    [5 * 2 ** 20, "5.0\u00a0MiB"],
    [3 * 2 ** 40, "3.0\u00a0TiB"],
    [2 ** 60, "1,048,576.0\u00a0TiB"],
  ])("%d bytes are %s", (bytes, said) => {
    expect(size(bytes, "en")).toBe(said);
  });

  test("French has its own units and comma", () => {
    expect(size(1536, "fr")).toBe("1,5\u00a0Kio");
  });
});

describe("age", () => {
  test.each([
    [0, "0s"],
    [119, "119s"],
    [120, "2m"],
    [7199, "119m"],
    [7200, "2h"],
    [172_800, "2d"],
  ])("after %d seconds it is %s", (seconds, said) => {
    expect(age(1_000, 1_000 + seconds, "en")).toBe(said);
  });

  test("an age is never negative", () => {
    expect(age(1_000, 990, "en")).toBe("0s");
  });

  test("without a creation time there is no age", () => {
    expect(age(null, 1_000, "en")).toBe("");
  });
});

test("a date far away means no end", () => {
  expect(date(2 ** 40, "fr")).toBe("sans limite");
  expect(date(1_700_000_000, "en")).toContain("2023");
});

test.each([
  [6 * 3600 + 12 * 60 + 5, "6h 12m"],
  [90, "1m 30s"],
  [3600, "1h 0m"],
  [7, "7s"],
  [0, "0s"],
  [-5, "0s"],
])("%s seconds more are %s", (seconds, text) => {
  expect(timeLeft(1000 + seconds, 1000, "en")).toBe(text);
});
