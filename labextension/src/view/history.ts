/** The traffic of the last minute, in slots of two seconds. */

import type { Traffic } from "./protocol";

/** The length of a slot, in milliseconds. */
export const SLOT = 2_000;
export const SLOTS = 30;

export class History {
  private readonly forwards = new Map<string, Map<number, number>>();

  get empty(): boolean {
    return this.forwards.size === 0;
  }

  /** Add the difference between two readings of a forward's counters; the first reading adds nothing. */
  count(key: string, before: Traffic | undefined, after: Traffic, now: number): void {
    const slots = this.forwards.get(key) ?? new Map<number, number>();
    this.forwards.set(key, slots);
    const slot = Math.floor(now / SLOT);
    if (before) {
      const bytes = Math.max(0, after[0] + after[1] - before[0] - before[1]);
      slots.set(slot, (slots.get(slot) ?? 0) + bytes);
    }
    for (const old of [...slots.keys()]) if (old <= slot - SLOTS) slots.delete(old);
  }

  forget(key: string): void {
    this.forwards.delete(key);
  }

  /** The bytes of each slot, the oldest first. */
  minute(key: string, now: number): number[] {
    const slots = this.forwards.get(key);
    const last = Math.floor(now / SLOT);
    return Array.from({ length: SLOTS }, (_, index) => slots?.get(last - SLOTS + 1 + index) ?? 0);
  }
}
