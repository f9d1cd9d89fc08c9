/**
 * The comm to one document's kernel: whether the extension is loaded there, and which widget is its panel.
 *
 * The plugin opens a comm. The kernel replies on it at once and after each change; a kernel without the extension
 * closes it. Every request has a number, and replies to an older request are dropped: kernels restart and are
 * exchanged, and replies come late.
 */

import { KernelAPI, type Kernel, type KernelMessage } from "@jupyterlab/services";
import type { IDisposable } from "@lumino/disposable";
import { Signal, type ISignal } from "@lumino/signaling";
import type { KernelDocument } from "./documents";
import { readKernelStatus } from "./kernelStatus";
import { LOAD } from "./emptyStates";
import type { PageLanguages } from "./language";
import { findMissingMagic } from "./magics";
import type { Kind, State, Summary } from "./state";

/** The comm's target, as `sspcloud_magics/widgets/side_panel.py` registers it. */
export const TARGET = "sspcloud_magics";

const WIDGET = "application/vnd.jupyter.widget-view+json";

/** The states in which a button or a cell may load the extension. */
const LOADABLE: ReadonlySet<Kind> = new Set(["not-loaded", "not-installed", "outdated", "failed"]);

/** The session's statuses for a kernel that has died. */
const FALLING: ReadonlySet<string> = new Set(["autorestarting", "dead"]);

/** Statuses that the server reports in the kernel's place. */
const OF_SERVER: ReadonlySet<string> = new Set(["restarting", "autorestarting", "dead"]);

/** Milliseconds without a reply after which the state explains the silence. */
const PATIENCE = 1_500;

export class KernelComm implements IDisposable {
  private readonly changes = new Signal<this, State>(this);
  private now: State = { kind: "starting" };
  private question = 0;
  private asked: Kernel.IKernelConnection | null = null;
  /** The last kernel with an established connection. */
  private reached: Kernel.IKernelConnection | null = null;
  private comm: Kernel.IComm | null = null;
  private late = 0;
  /** Whether the kernel has died; if it does not restart, the server drops it like one that was shut down. */
  private fell = false;
  private loaded = false;
  /** The session of the process that sent the last message: a restarted kernel has another one. */
  private process = "";
  constructor(
    readonly document: KernelDocument,
    private readonly languages: () => PageLanguages,
  ) {
    const { session, widget } = document;
    session.kernelChanged.connect(this.handleSessionChange, this);
    session.statusChanged.connect(this.handleSessionChange, this);
    session.connectionStatusChanged.connect(this.handleSessionChange, this);
    session.iopubMessage.connect(this.handleMessage, this);
    widget.disposed.connect(this.dispose, this);
    this.handleSessionChange();
  }

  get state(): State {
    return this.now;
  }

  /** Emitted with every new state. */
  get changed(): ISignal<this, State> {
    return this.changes;
  }

  /** Emitted when a cell uses a magic without the extension, with the magic's name. */
  readonly missing = new Signal<this, string>(this);

  get isDisposed(): boolean {
    return this.gone;
  }
  private gone = false;

  dispose(): void {
    if (this.gone) return;
    this.forget();
    this.gone = true;
    Signal.clearData(this);
  }

  /** Whether the extension can be loaded into the kernel now. */
  get canLoad(): boolean {
    return this.asked !== null && LOADABLE.has(this.now.kind);
  }

  /** Ask the kernel for its panel again: it has closed the one that it had, or lost it. */
  askAgain(): void {
    if (this.asked) void this.ask(this.asked, { kind: "not-loaded" });
  }

  /** Report changed languages of the page. */
  sendLanguages(): void {
    if (this.comm && !this.comm.isDisposed) this.comm.send({ languages: { ...this.languages() } });
  }

  /** Load the extension, once for each start of a kernel. */
  async loadOnce(): Promise<void> {
    if (this.loaded) return;
    this.loaded = true;
    await this.load();
  }

  /** Load the extension into the kernel; the state reports the outcome. */
  async load(): Promise<void> {
    const kernel = this.asked;
    if (!kernel || !this.canLoad) return;
    const queued = () => this.set({ kind: "loading", queued: true });
    const question = this.begin({ kind: "loading", queued: false }, queued);
    const future = kernel.requestExecute({ code: LOAD, store_history: false, stop_on_error: false });
    const { content } = await future.done;
    if (question !== this.question) return;
    if (content.status === "ok") void this.ask(kernel, { kind: "outdated" });
    else this.end(toFailureState(content));
  }

  /** Update the state from the session; ask a new or restarted kernel for its panel. */
  private handleSessionChange(): void {
    const { session } = this.document;
    const kernel = session.session?.kernel ?? null;
    const status = readKernelStatus(session, kernel !== null && kernel === this.reached);
    if (kernel?.connectionStatus === "connected") this.reached = kernel;
    if (status !== "up") {
      // A kernel that ends closes the comm itself; do not close it from here as well.
      this.comm = null;
      this.forget();
      this.fell ||= FALLING.has(session.kernelDisplayStatus);
      this.set({ kind: status === "no-kernel" && this.fell ? "dead" : status });
      return;
    }
    this.fell = false;
    if (!kernel || kernel === this.asked) return;
    this.forget();
    this.asked = kernel;
    void this.ask(kernel, { kind: "not-loaded" });
  }

  /** Ask again after a cell: it may have loaded or installed the extension. */
  private handleMessage(_: unknown, message: KernelMessage.IMessage): void {
    if (message.header.msg_type === "stream") {
      const missing = findMissingMagic((message as KernelMessage.IStreamMsg).content.text);
      if (missing && this.now.kind === "not-loaded") this.missing.emit(missing);
    }
    if (this.noteProcess(message)) return;
    const ended =
      message.header.msg_type === "status" &&
      (message.content as { execution_state?: string }).execution_state === "idle" &&
      (message.parent_header as { msg_type?: string }).msg_type === "execute_request";
    if (ended && this.canLoad && this.asked) void this.ask(this.asked, this.now);
  }

  /**
   * Notice a restart that this page did not request: another window, a collaborator or the REST interface did.
   *
   * JupyterLab does not notice it. It goes on sending comm messages to subshells of the process that is gone.
   */
  private noteProcess({ header, content }: KernelMessage.IMessage): boolean {
    if (OF_SERVER.has((content as { execution_state?: string }).execution_state ?? "")) return false;
    const before = this.process;
    this.process = header.session;
    if (!before || before === header.session || !this.asked) return false;
    this.renew(this.asked);
    return true;
  }

  /** Let JupyterLab and its widgets forget the process that is gone, and connect to the new one. */
  private renew(kernel: Kernel.IKernelConnection): void {
    // Private: no public function forgets the subshells. A test in a real JupyterLab shows if it stops working.
    (kernel as { _updateStatus?: (status: string) => void })._updateStatus?.("restarting");
    void kernel.reconnect();
  }

  /** Ask a kernel for its panel; without one, the state is `without`. */
  private async ask(kernel: Kernel.IKernelConnection, without: State): Promise<void> {
    // Keep the current state while the same question is repeated.
    const quiet = this.now.kind === without.kind;
    const silent = () => void this.explainSilence(kernel);
    const question = this.begin(quiet ? this.now : { kind: "asking" }, silent);
    const { language_info: language } = await kernel.info;
    if (question !== this.question) return;
    const obstacle = this.findObstacle(kernel, language.name);
    if (obstacle) {
      this.end(obstacle);
      return;
    }
    const comm = kernel.createComm(TARGET);
    await waitForSubshell(kernel, comm);
    if (question !== this.question) {
      comm.dispose();
      return;
    }
    const before = this.comm;
    this.comm = comm;
    if (before && !before.isDisposed) closeQuietly(before);
    comm.onMsg = ({ content }) => {
      if (this.comm === comm) this.end(toLiveState(content.data as unknown as PanelReply));
    };
    comm.onClose = () => {
      if (this.comm !== comm) return;
      this.comm = null;
      // From a live panel, the extension was unloaded; otherwise it was never loaded.
      this.end(this.now.kind === "live" ? { kind: "not-loaded" } : without);
    };
    comm.open({ languages: { ...this.languages() } });
  }

  /** Return the reason why a running kernel cannot show its panel here; null without one. */
  private findObstacle(kernel: Kernel.IKernelConnection, language: string): State | null {
    if (language !== "python") return { kind: "foreign", language };
    if (!kernel.handleComms) return { kind: "shared", kernelId: kernel.id };
    return this.document.rendermime.mimeTypes.includes(WIDGET) ? null : { kind: "no-widgets" };
  }

  /** Explain a silent kernel: it is still starting, as its server knows, or a cell runs. */
  private async explainSilence(kernel: Kernel.IKernelConnection): Promise<void> {
    const timer = this.late;
    const model = await KernelAPI.getKernelModel(kernel.id, kernel.serverSettings).catch(() => undefined);
    const isGone = await isSubshellGone(kernel, this.comm);
    if (timer !== this.late) return; // it has replied, or was replaced
    if (isGone) {
      this.renew(kernel);
      return;
    }
    const starts = model?.execution_state === "starting";
    this.set({ kind: starts ? "starting" : "busy" });
    if (starts) this.wait(() => void this.explainSilence(kernel));
  }

  /** Start a request, and call `late` if it takes long; return its number. */
  private begin(state: State, late: () => void): number {
    this.question += 1;
    this.wait(late);
    this.set(state);
    return this.question;
  }

  private end(state: State): void {
    this.waitNoMore();
    this.set(state);
  }

  private wait(late: () => void): void {
    clearTimeout(this.late);
    this.late = window.setTimeout(late, PATIENCE);
  }

  private waitNoMore(): void {
    clearTimeout(this.late);
    this.late = 0;
  }

  /** Release the kernel: ignore its later messages. */
  private forget(): void {
    this.question += 1;
    this.waitNoMore();
    const comm = this.comm;
    this.comm = this.asked = null;
    this.loaded = false;
    this.process = "";
    if (comm && !comm.isDisposed) closeQuietly(comm);
  }

  private set(state: State): void {
    if (this.gone || isSameState(state, this.now)) return;
    this.now = state;
    this.changes.emit(state);
  }
}

/** The kernel's message on the comm. */
interface PanelReply extends Omit<Summary, "database"> {
  model_id: string;
  /** Absent if the kernel's package is older than the plugin. */
  language?: string;
  /** Absent if the kernel's package is older than the plugin. */
  database?: string | null;
}

function toLiveState({
  model_id,
  language = "en",
  forwards,
  troubled,
  ends,
  database = null,
}: PanelReply): State {
  return { kind: "live", modelId: model_id, language, summary: { forwards, troubled, ends, database } };
}

function toFailureState(
  reply: KernelMessage.IExecuteReply | KernelMessage.IReplyErrorContent | object,
): State {
  const { ename = "", evalue = "" } = reply as Partial<KernelMessage.IReplyErrorContent>;
  const missing = ename === "ModuleNotFoundError" && evalue.includes("'sspcloud_magics'");
  return missing ? { kind: "not-installed" } : { kind: "failed", reason: `${ename}: ${evalue}` };
}

/** Wait for the comm's subshell, if the kernel supports it: there it gets a reply while a cell runs. */
async function waitForSubshell(kernel: Kernel.IKernelConnection, comm: Kernel.IComm): Promise<void> {
  if (!kernel.supportsSubshells) return;
  try {
    await (comm as { subshellStarted?: Promise<void> }).subshellStarted;
  } catch {
    // Without a subshell, the main shell replies between two cells.
  }
}

/** Whether a comm's messages go to a subshell that does not exist: the kernel's process is another one. */
async function isSubshellGone(kernel: Kernel.IKernelConnection, comm: Kernel.IComm | null): Promise<boolean> {
  const { subshellId = null } = (comm ?? {}) as { subshellId?: string | null };
  if (subshellId === null || !kernel.supportsSubshells) return false;
  const reply = await kernel.requestListSubshell({}).done.catch(() => undefined);
  return reply !== undefined && !reply.content.subshell_id.includes(subshellId);
}

/** Close a comm, or only our end of it where the kernel cannot be reached. */
function closeQuietly(comm: Kernel.IComm): void {
  try {
    comm.close();
  } catch {
    comm.dispose();
  }
}

function isSameState(one: State, other: State): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
