import { cls, h, type Content } from "../dom";
import type { Port, ServicePreview } from "../protocol";
import { keys } from "../keys";
import { prose } from "../components";
import { t, type ViewContext } from "../context";
import { isSameRequest } from "../forms";
import { changeOf, choice, fullText, notes, previewedForm, shareResult } from "./share";

/** The dialog that shares a service, `NAMESPACE/svc/NAME`: the request, its preview, and then the line to send. */
export function shareService(context: ViewContext, service: string): Content {
  const made = context.store.reply("share_service", keys.share(service));
  if (made) return shareResult(context, made);
  const plan = context.store.reply("preview_service_share", keys.previewShare(service));
  // A preview of another request than the current one does not count.
  const current = plan !== undefined && isSameRequest(context.previewed, context.shareRequest);
  const name = service.split("/").at(-1) ?? "";
  return previewedForm(context, {
    attributes: { "data-form": "shareService", "data-service": service },
    name: service,
    fields: [ports(context, context.store.get("service", name)?.ports ?? []), routes(context)],
    blocked: "",
    preview: current ? preview(context, name, plan) : null,
  });
}

function ports(context: ViewContext, all: Port[]): Content {
  return h(
    "fieldset",
    { class: cls("choices"), "data-key": "ports" },
    h("legend", {}, t(context, "port")),
    all.map(([port, label], index) =>
      choice(label ? `${String(port)} ${label}` : String(port), {
        type: "radio",
        name: "port",
        value: String(port),
        checked: index === 0,
      }),
    ),
  );
}

/** What the share opens. */
function routes(context: ViewContext): Content {
  return h(
    "fieldset",
    { class: cls("choices"), "data-key": "via" },
    h("legend", {}, t(context, "opens")),
    choice(t(context, "viaNetwork"), { type: "radio", name: "via", value: "network", checked: true }),
    choice(t(context, "viaForward"), { type: "radio", name: "via", value: "forward" }),
  );
}

/** The preview: what is opened, the dangers first, and the objects. */
function preview(context: ViewContext, name: string, plan: ServicePreview): HTMLElement {
  const changes = plan.colleagues.map((colleague) => [
    " ",
    changeOf(context, `svc/${name}/${colleague}`, plan.until),
  ]);
  return h(
    "section",
    { class: cls("preview"), role: "status", "data-key": "preview" },
    h("p", {}, prose(plan.granted), changes),
    notes(context, plan.notes),
    plan.yaml && fullText(context, "objectsWhole", plan.yaml),
  );
}
