import type { ISessionContext } from "@jupyterlab/apputils";

/** What a session says of its kernel: that it is up, or why it cannot be asked. */
export type KernelStatus = "up" | "starting" | "no-kernel" | "dead" | "disconnected";

const STATUSES: Partial<Record<ISessionContext.KernelDisplayStatus, KernelStatus>> = {
  initializing: "starting",
  starting: "starting",
  restarting: "starting",
  autorestarting: "starting",
  terminating: "no-kernel",
  dead: "dead",
  disconnected: "disconnected",
};

/**
 * The status of a session's kernel.
 *
 * Whether it is idle or busy counts for nothing: a kernel with subshells calls itself idle while a cell runs. One to
 * which the first connection is being made may be asked: it answers as soon as it can. One that was `reached` before
 * has been lost.
 */
export function readKernelStatus(
  session: Pick<ISessionContext, "kernelDisplayStatus" | "session">,
  reached: boolean,
): KernelStatus {
  const status = session.kernelDisplayStatus;
  if (status === "connecting" && reached) return "disconnected";
  return STATUSES[status] ?? (session.session?.kernel ? "up" : "no-kernel");
}
