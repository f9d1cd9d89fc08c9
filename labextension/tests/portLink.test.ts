import { expect, test, vi } from "vitest";
import { askForProxy, readPage, linkToPort, type Page } from "../src/view/portLink";

const here: Page = { origin: "http://127.0.0.1:8888", base: "/", lists: false, proxy: false };
const hub: Page = {
  origin: "https://user-bob-1.user.lab.sspcloud.fr",
  base: "/user/bob/",
  lists: true,
  proxy: true,
};

test("on your own machine a port is opened directly", () => {
  expect(linkToPort(8000, 80, here, false)).toEqual({ href: "http://localhost:8000/" });
});

test("a remote port is opened through jupyter-server-proxy", () => {
  expect(linkToPort(8000, 80, hub, true)).toEqual({
    href: "https://user-bob-1.user.lab.sspcloud.fr/user/bob/proxy/8000/",
  });
  expect(linkToPort(8000, 80, { ...hub, proxy: false }, false)).toBe("needs proxy");
  expect(linkToPort(8000, 80, here, true)).toBe("needs proxy");
});

test.each([5432, 3306, 27017, "postgres"])("a database port has no link: %s", (remote) => {
  expect(linkToPort(5432, remote, here, false)).toBeNull();
});

test("a port that is not bound yet has no link", () => {
  expect(linkToPort(0, 80, here, false)).toBeNull();
});

test("the page's configuration has the base path and the proxy", () => {
  const told = {
    baseUrl: "/user/bob/",
    federated_extensions: [{ name: "@jupyterhub/jupyter-server-proxy" }],
  };
  document.body.innerHTML = `<script id="jupyter-config-data" type="application/json">${JSON.stringify(told)}</script>`;
  expect(readPage(document)).toMatchObject({ base: "/user/bob/", lists: true, proxy: false });
  document.body.innerHTML = '<script id="jupyter-config-data" type="application/json">{</script>';
  expect(readPage(document)).toMatchObject({ base: "", lists: false, proxy: false });
  document.body.innerHTML = "";
  expect(readPage(document)).toMatchObject({ base: "", lists: false, proxy: false });
});

test.each([
  [true, 200, true],
  // Installed after the server's start: listed in the page, and not run.
  [true, 404, false],
  [false, 200, false],
])("a listed proxy (%s) that answers %i is used: %s", async (lists, status, proxy) => {
  const ask = vi.fn(() => Promise.resolve(new Response("{}", { status })));
  vi.stubGlobal("fetch", ask);
  const page = { ...hub, lists, proxy: false };
  await askForProxy(page);
  expect(page.proxy).toBe(proxy);
  expect(ask.mock.calls).toEqual(lists ? [["/user/bob/server-proxy/servers-info"]] : []);
  vi.unstubAllGlobals();
});

test("a server that does not answer has no proxy", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed")));
  const page = { ...hub, proxy: false };
  await askForProxy(page);
  expect(page.proxy).toBe(false);
  vi.unstubAllGlobals();
});
