import { cls, h } from "./dom";

/** Copy a text; a page that is not served over TLS has no clipboard, but a selected text can be copied everywhere. */
export async function copyText(text: string, within: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: cls("hidden"), "aria-hidden": "true" }) as HTMLTextAreaElement;
    const focused = document.activeElement;
    area.value = text;
    within.append(area);
    area.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way without TLS
    document.execCommand("copy");
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}
