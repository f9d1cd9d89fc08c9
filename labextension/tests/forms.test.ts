import { expect, test } from "vitest";
import { isSameRequest, isShareForm, readForm, readShareRequest } from "../src/view/forms";

function form(html: string, data: Record<string, string>): HTMLFormElement {
  const made = document.createElement("form");
  made.innerHTML = html;
  Object.assign(made.dataset, data);
  return made;
}

const SHARE = `<input name="colleagues" value=" bob carol "><input name="schemas" value="">
  <input type="radio" name="duration" value="7d" checked><input type="radio" name="access" value="read">
  <input type="radio" name="access" value="write" checked>`;

test("the share form is a preview or a share, by its button", () => {
  const made = form(SHARE, { form: "share", database: "user-alice/db" });
  const asked = {
    database: "user-alice/db",
    colleagues: "bob carol",
    write: true,
    schemas: "all",
    duration: "7d",
  };
  expect(readShareRequest(made)).toEqual(asked);
  expect(readForm(made, "plan")).toEqual({
    command: { do: "preview_share", ...asked },
    key: "preview user-alice/db",
  });
  expect(readForm(made, "share")).toEqual({ command: { do: "share", ...asked }, key: "share user-alice/db" });
  expect(readForm(made, "")?.command.do).toBe("preview_share");
});

test("the form of a service asks for its port and its route", () => {
  const made = form(
    `${SHARE.replace(/name="access"/g, 'name="unused"')}<input type="radio" name="port" value="80">
     <input type="radio" name="port" value="443" checked><input type="radio" name="via" value="forward" checked>`,
    { form: "shareService", service: "user-alice/svc/front" },
  );
  const asked = {
    service: "user-alice/svc/front",
    port: 443,
    colleagues: "bob carol",
    via: "forward",
    duration: "7d",
  };
  expect(readForm(made, "plan")).toEqual({
    command: { do: "preview_service_share", ...asked },
    key: "preview user-alice/svc/front",
  });
  expect(readForm(made, "share")?.command).toEqual({ do: "share_service", ...asked });
  expect(isShareForm(made)).toBe(true);
  expect(isSameRequest(readShareRequest(made), { ...asked, port: 80 })).toBe(false);
  expect(isSameRequest(readShareRequest(made), asked)).toBe(true);
});

test.each([
  ["connect", "database", { do: "connect", database: "x/y" }],
  ["namespace", "namespace", { do: "use_namespace", namespace: "x/y" }],
])("the form %s returns its command, or null if it is empty", (name, field, command) => {
  expect(readForm(form(`<input name="${field}" value=" x/y ">`, { form: name }), "")?.command).toEqual(
    command,
  );
  expect(readForm(form(`<input name="${field}" value="  ">`, { form: name }), "")).toBeNull();
});

test("a script is read from its text area", () => {
  const made = form('<textarea name="script">kubectl config</textarea>', { form: "script" });
  expect(readForm(made, "")).toEqual({ command: { do: "log_in", script: "kubectl config" }, key: "log-in" });
});

test("an unknown form returns null", () => {
  expect(readForm(form("", { form: "other" }), "")).toBeNull();
});

test.each([
  [
    "all",
    '<input type="checkbox" name="schema" value="a" checked><input type="checkbox" name="schema" value="b" checked>',
  ],
  [
    ["a b"],
    '<input type="checkbox" name="schema" value="a b" checked><input type="checkbox" name="schema" value="c">',
  ],
  [["a", "b", "c"], '<input name="schemas" value=" a, b;c ">'],
  ["all", '<input name="schemas" value="  ">'],
  ["all", ""],
])("the schemas %j are what is ticked, or filled in", (schemas, html) => {
  expect(readShareRequest(form(html, { form: "share" }))).toMatchObject({ schemas });
});

test("nothing is asked for where no schema is ticked", () => {
  const made = form('<input type="checkbox" name="schema" value="a">', { form: "share", database: "x" });
  expect(readShareRequest(made)).toMatchObject({ schemas: [] });
  expect(readForm(made, "plan")).toBeNull();
});
