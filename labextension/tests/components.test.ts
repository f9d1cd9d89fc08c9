import { expect, test } from "vitest";
import { h } from "../src/view/dom";
import { prose } from "../src/view/components";

test.each([
  ["run %k8s_login config.sh, or start", "run <code>%k8s_login config.sh</code>, or start"],
  ["see %k8s_whoami.", "see <code>%k8s_whoami</code>."],
  ["Name it: %k8s_login FILE --ca CA.pem.", "Name it: <code>%k8s_login FILE --ca CA.pem.</code>"],
  ["%shares   what you share", "<code>%shares</code> what you share"],
  ["100 % of <b>it</b>", "100 % of &lt;b&gt;it&lt;/b&gt;"],
])("%s", (text, html) => {
  expect(h("p", {}, prose(text)).innerHTML).toBe(html);
});
