import type { ISessionContext } from "@jupyterlab/apputils";

/** The status of a session's kernel: up, or the reason why it cannot be asked. */
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
 * Idle and busy do not matter: a kernel with subshells reports idle while a cell runs. During the first connection the
 * kernel is up: it replies as soon as it can. A kernel that was `reached` before has been lost.
 */
export function readKernelStatus(
  session: Pick<ISessionContext, "kernelDisplayStatus" | "session">,
  reached: boolean,
): KernelStatus {
  const status = session.kernelDisplayStatus;
  if (status === "connecting" && reached) return "disconnected";
  return STATUSES[status] ?? (session.session?.kernel ? "up" : "no-kernel");
}
