/**
 * The panel's view: facts come in, tables and buttons come out, clicks go back as orders.
 *
 * One module without a build. The kernel tells facts (`"pod/x"` → a small value) in custom messages: everything
 * once, then what changes. A section of the page is a pure function from facts to fresh DOM nodes; `morph` changes
 * the page into them and keeps every element that stays, and so its focus. Clicks are found by `data-order`.
 *
 * @typedef {Record<string, any>} Fact
 * @typedef {{ do: string } & Record<string, unknown>} Order
 * @typedef {{ get(name: string): any, send(content: unknown): void,
 *             on(name: string, callback: Function): void, off(name: string, callback: Function): void }} Model
 */

/** @type {Record<string, Record<string, string>>} */
export const WORDS = {
  en: {
    loading: "Asking the kernel…",
    silent: "The kernel has not answered yet. Is a cell running? The panel fills in when it ends.",
    gone: "This panel's kernel has ended. Run the cell again for a live panel.",
    retry: "Try again",
    who: "Who I am",
    unnamed: "the server does not tell who you are",
    namespace: "namespace",
    server: "server",
    source: "from",
    forwards: "Forwards",
    noForwards: "No port is open. Click a port of a service or a pod below, and it is there as localhost.",
    state: "State",
    target: "Leads to",
    address: "Address",
    traffic: "Last minute",
    actions: "Actions",
    received: "received",
    sent: "sent",
    open: "open",
    stop: "Stop",
    stopNamed: "Stop the forward to {name}",
    copy: "Copy",
    copyNamed: "Copy {name}",
    copied: "Copied",
    services: "Services",
    pods: "Pods",
    name: "Name",
    ports: "Ports",
    restarts: "Restarts",
    age: "Age",
    filter: "Filter by name",
    asking: "Asking the cluster…",
    noServices: "No service runs in {namespace}. Launch one on your SSPCloud page, and it appears here.",
    noPods: "No pod runs in {namespace}. Launch a service on your SSPCloud page, and it appears here.",
    noMatch: "Nothing has “{name}” in its name. Clear the filter to see all.",
    forwardPort: "Forward port {port} of {name}",
    forwarded: "Port {port} of {name} is forwarded",
    noPorts: "none",
    databases: "Databases",
    noDatabases: "No database of yours is in {namespace}. Name a colleague's below, or launch one on your SSPCloud page.",
    asleep: "Its owner wakes it on the SSPCloud page.",
    kind: "Kind",
    connect: "Connect",
    connectNamed: "Connect to {name}",
    connectOther: "A colleague's database",
    connected: "Connected to {name} as {user}. The next %query_db asks it.",
    alsoConnected: "Also connected to {name} as {user}.",
    shares: "Shares",
    noShares: "You share nothing. %share_db NAME --with COLLEAGUE --for 7d opens a database to a colleague.",
    database: "Database",
    colleague: "With",
    access: "Right",
    until: "Until",
    forever: "no end",
    revoke: "Revoke…",
    revokeNamed: "Revoke what {colleague} may do in {name}",
    revokeSure: "End what {colleague} may do in {name}? Open sessions end at once.",
    revokeYes: "Revoke",
    revokeNo: "Keep",
    sandbox: "Sandbox",
    sandboxOff: "The practice cluster is not running. Start it to try everything here without an account.",
    sandboxOn: "The practice cluster runs at {server}.",
    start: "Start",
    startNamed: "Start the sandbox",
    stopSandbox: "Stop the sandbox",
    actAs: "Act as",
    "state.starting": "starting",
    "state.active": "active",
    "state.reconnecting": "reconnecting",
    "state.stopped": "stopped",
    "state.failed": "failed",
    "state.running": "running",
    "state.hibernated": "hibernated",
    "state.suspended": "suspended",
    "state.unknown": "unknown",
    "state.open": "open",
    "state.incomplete": "incomplete",
    "state.ended": "ended",
    "access.read-only": "read-only",
    "access.read-write": "read-write",
    "unit.d": "d", "unit.h": "h", "unit.m": "m", "unit.s": "s",
    "step.NotLoggedIn": "Save the script of your account page and run %k8s_login config.sh, or start the sandbox below.",
    "step.TokenExpired": "Log in again: save a fresh script of your account page and run %k8s_login config.sh.",
    "step.Forbidden": "Ask the owner of the namespace for the right, or see %k8s_whoami.",
    "step.ServerUnreachable": "Check the network or the VPN. The panel tries again by itself.",
    "step.CertificateNotTrusted": "Name the cluster's certificate: %k8s_login FILE --ca CA.pem.",
    "step.KubeconfigInvalid": "Mend the file, or log in anew with %k8s_login config.sh.",
  },
  fr: {
    loading: "Question posée au noyau…",
    silent: "Le noyau n'a pas encore répondu. Une cellule tourne-t-elle ? Le panneau se remplit quand elle se termine.",
    gone: "Le noyau de ce panneau s'est arrêté. Relancez la cellule pour un panneau vivant.",
    retry: "Réessayer",
    who: "Qui je suis",
    unnamed: "le serveur ne dit pas qui vous êtes",
    namespace: "espace de noms",
    server: "serveur",
    source: "d'après",
    forwards: "Redirections",
    noForwards: "Aucun port n'est ouvert. Cliquez sur un port d'un service ou d'un pod ci-dessous : le voilà sur localhost.",
    state: "État",
    target: "Mène à",
    address: "Adresse",
    traffic: "Dernière minute",
    actions: "Actions",
    received: "reçus",
    sent: "envoyés",
    open: "en cours",
    stop: "Arrêter",
    stopNamed: "Arrêter la redirection vers {name}",
    copy: "Copier",
    copyNamed: "Copier {name}",
    copied: "Copié",
    services: "Services",
    pods: "Pods",
    name: "Nom",
    ports: "Ports",
    restarts: "Relances",
    age: "Âge",
    filter: "Filtrer par nom",
    asking: "Question posée au cluster…",
    noServices: "Aucun service ne tourne dans {namespace}. Lancez-en un depuis votre page SSPCloud : il apparaîtra ici.",
    noPods: "Aucun pod ne tourne dans {namespace}. Lancez un service depuis votre page SSPCloud : il apparaîtra ici.",
    noMatch: "Aucun nom ne contient « {name} ». Videz le filtre pour tout voir.",
    forwardPort: "Rediriger le port {port} de {name}",
    forwarded: "Le port {port} de {name} est redirigé",
    noPorts: "aucun",
    databases: "Bases de données",
    noDatabases: "Aucune base à vous dans {namespace}. Nommez ci-dessous celle d'un collègue, ou lancez-en une depuis votre page SSPCloud.",
    asleep: "Son propriétaire la réveille depuis la page SSPCloud.",
    kind: "Genre",
    connect: "Connecter",
    connectNamed: "Se connecter à {name}",
    connectOther: "La base d'un collègue",
    connected: "Connecté à {name} en tant que {user}. Le prochain %query_db l'interroge.",
    alsoConnected: "Connecté aussi à {name} en tant que {user}.",
    shares: "Partages",
    noShares: "Vous ne partagez rien. %share_db NOM --with COLLÈGUE --for 7d ouvre une base à un collègue.",
    database: "Base",
    colleague: "Avec",
    access: "Droit",
    until: "Jusqu'au",
    forever: "sans fin",
    revoke: "Révoquer…",
    revokeNamed: "Révoquer les droits de {colleague} sur {name}",
    revokeSure: "Mettre fin aux droits de {colleague} sur {name} ? Ses sessions ouvertes se terminent aussitôt.",
    revokeYes: "Révoquer",
    revokeNo: "Garder",
    sandbox: "Bac à sable",
    sandboxOff: "Le cluster d'entraînement ne tourne pas. Démarrez-le pour tout essayer ici, sans compte.",
    sandboxOn: "Le cluster d'entraînement tourne sur {server}.",
    start: "Démarrer",
    startNamed: "Démarrer le bac à sable",
    stopSandbox: "Arrêter le bac à sable",
    actAs: "Être",
    "state.starting": "démarre",
    "state.active": "active",
    "state.reconnecting": "se reconnecte",
    "state.stopped": "arrêtée",
    "state.failed": "échouée",
    "state.running": "tourne",
    "state.hibernated": "en hibernation",
    "state.suspended": "suspendue",
    "state.unknown": "inconnu",
    "state.open": "ouvert",
    "state.incomplete": "incomplet",
    "state.ended": "terminé",
    "access.read-only": "lecture",
    "access.read-write": "lecture et écriture",
    "unit.d": " j", "unit.h": " h", "unit.m": " min", "unit.s": " s",
    "step.NotLoggedIn": "Enregistrez le script de votre page de compte et lancez %k8s_login config.sh, ou démarrez le bac à sable ci-dessous.",
    "step.TokenExpired": "Reconnectez-vous : enregistrez un nouveau script de votre page de compte et lancez %k8s_login config.sh.",
    "step.Forbidden": "Demandez ce droit au propriétaire de l'espace de noms, ou voyez %k8s_whoami.",
    "step.ServerUnreachable": "Vérifiez le réseau ou le VPN. Le panneau réessaie de lui-même.",
    "step.CertificateNotTrusted": "Nommez le certificat du cluster : %k8s_login FICHIER --ca CA.pem.",
    "step.KubeconfigInvalid": "Réparez le fichier, ou reconnectez-vous avec %k8s_login config.sh.",
  },
};

/** What the kernel's errors are called in French; in English the kernel's own sentence is shown. */
/** @type {Record<string, string>} */
export const ERRORS_FR = {
  SspcloudError: "Quelque chose d'inattendu s'est produit.",
  UsageProblem: "La demande n'est pas comprise.",
  ClusterError: "Le cluster ne répond pas ou refuse.",
  NotLoggedIn: "Vous n'êtes connecté à aucun cluster.",
  KubeconfigInvalid: "La configuration ne peut pas être lue.",
  TokenExpired: "Votre jeton n'est plus accepté.",
  Forbidden: "Un droit vous manque.",
  ServerUnreachable: "Le serveur est injoignable.",
  CertificateNotTrusted: "Le certificat du serveur n'est pas reconnu.",
  ServerError: "Le serveur a répondu par une erreur.",
  TargetError: "La cible ne peut pas être utilisée.",
  TargetNotFound: "Rien ne porte ce nom.",
  AmbiguousTarget: "Plusieurs choses portent ce nom.",
  PortNotFound: "La cible n'a pas ce port.",
  PodNotReady: "Aucun pod n'est prêt derrière cette cible.",
  ForwardError: "La redirection n'a pas pu être faite.",
  PortTaken: "Ce port local est déjà pris.",
  DialFailed: "Rien ne répond sur ce port dans le pod.",
  TunnelLost: "Le tunnel s'est rompu.",
  HelperFailed: "Le processus qui porte les octets n'a pas démarré.",
  DatabaseError: "La base ne peut pas être utilisée.",
  DatabaseNotFound: "Aucune base ne porte ce nom.",
  DatabaseHibernated: "La base est en pause.",
  CredentialsNotFound: "Aucun identifiant n'est lisible pour cette base.",
  LoginRefused: "La base refuse l'utilisateur ou le mot de passe.",
  DatabaseUnavailable: "La base n'accepte pas de connexion pour l'instant.",
  DatabaseNotTrusted: "La base ne prouve pas qu'elle est la bonne.",
  NotConnected: "Aucune base n'est connectée.",
  ConnectionLost: "La connexion à la base s'est rompue.",
  ParameterError: "Un paramètre manque ou ne convient pas.",
  QueryFailed: "La base a refusé une instruction.",
  FileNotWritten: "Le fichier n'a pas pu être écrit.",
  SandboxFailed: "Le bac à sable n'a pas démarré, ou ne tourne pas.",
};

const BEAT = 15_000;
const SLOT = 2_000;
const SLOTS = 30;
const SILENT = 2_500;
const SVG = "http://www.w3.org/2000/svg";
/** @type {Record<string, string>} */
const SHAPES = { good: "●", waiting: "◐", bad: "✕", over: "○" };
/** @type {Record<string, string>} */
const FORWARD_TONES = { starting: "waiting", active: "good", reconnecting: "waiting", stopped: "over", failed: "bad" };
const ORDER = new Intl.Collator("en", { numeric: true });
const PEOPLE = ["alice", "bob", "carol"];

// Nodes.

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] those that are false, null or undefined are left out
 * @param {...unknown} children nodes, texts, arrays of them; what is empty is left out
 * @returns {Element}
 */
function h(tag, attributes = {}, ...children) {
  const drawn = tag === "svg" || tag === "path";
  const node = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name === "class" ? "class" : name, value === true ? "" : String(value));
  }
  node.append(.../** @type {Node[]} */ (children.flat(3).filter((child) => child || child === 0)));
  return node;
}

/** @param {string} name */
const cls = (name) => `jp-SSPCloudPanel-${name}`;

/** @param {Node} node */
const keyOf = (node) => (node instanceof Element ? node.getAttribute("data-key") : null);

/**
 * Change `live` into `next`, keeping the elements that stay.
 * @param {Element} live
 * @param {Element} next
 */
export function morph(live, next) {
  for (const { name } of [...live.attributes]) if (!next.hasAttribute(name)) live.removeAttribute(name);
  for (const { name, value } of next.attributes) if (live.getAttribute(name) !== value) live.setAttribute(name, value);
  const wanted = [...next.childNodes];
  const staying = new Set(wanted.map(keyOf).filter(Boolean));
  /** @type {Map<string, ChildNode>} */
  const known = new Map();
  for (const child of [...live.childNodes]) {
    const key = keyOf(child);
    if (key && staying.has(key)) known.set(key, child);
    else if (key) child.remove();
  }
  /** @type {ChildNode | null} */
  let at = live.firstChild;
  for (const want of wanted) {
    const key = keyOf(want);
    const found = key ? known.get(key) : at && !keyOf(at) && at.nodeName === want.nodeName ? at : undefined;
    if (!found) {
      live.insertBefore(want, at);
      continue;
    }
    if (found === at) at = at.nextSibling;
    else live.insertBefore(found, at);
    if (found instanceof Element && want instanceof Element) morph(found, want);
    else if (found.nodeValue !== want.nodeValue) found.nodeValue = want.nodeValue;
  }
  while (at) {
    const rest = at;
    at = at.nextSibling;
    rest.remove();
  }
}

// What the kernel told, shared by all views of the panel.

class Store {
  constructor() {
    /** @type {Map<string, any>} */
    this.facts = new Map();
    /** Orders that were given here and not yet heard of: key → when. @type {Map<string, number>} */
    this.given = new Map();
    /** Bytes by slot of two seconds: forward → slot → bytes. @type {Map<string, Map<number, number>>} */
    this.history = new Map();
    this.told = false;
    this.ended = false;
    /** @type {Set<(changed: string[]) => void>} */
    this.listeners = new Set();
  }

  /** @param {{ whole?: Record<string, any>, part?: Record<string, any> }} message */
  take(message) {
    const changes = message.whole ?? message.part;
    if (!changes) return;
    const changed = new Set(Object.keys(changes));
    if (message.whole) {
      for (const key of this.facts.keys()) changed.add(key);
      for (const key of this.facts.keys()) if (!(key in changes)) this.facts.delete(key);
      this.told = true;
    }
    for (const [key, value] of Object.entries(changes)) {
      if (key.startsWith("traffic/")) this.count(key, value);
      if (key.startsWith("order/")) this.given.delete(key.slice("order/".length));
      if (value === null) this.facts.delete(key);
      else this.facts.set(key, value);
    }
    for (const listener of this.listeners) listener([...changed]);
  }

  /**
   * @param {string} key
   * @param {number[] | null} value
   */
  count(key, value) {
    if (value === null) {
      this.history.delete(key);
      return;
    }
    const before = this.facts.get(key);
    const slots = this.history.get(key) ?? new Map();
    this.history.set(key, slots);
    const now = Math.floor(Date.now() / SLOT);
    if (before) slots.set(now, (slots.get(now) ?? 0) + Math.max(0, value[0] + value[1] - before[0] - before[1]));
    for (const slot of slots.keys()) if (slot <= now - SLOTS) slots.delete(slot);
  }

  /** The facts of a kind, by name. @param {string} prefix @returns {[string, any][]} */
  under(prefix) {
    return [...this.facts]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => /** @type {[string, any]} */ ([key.slice(prefix.length), value]))
      .sort(([one], [other]) => ORDER.compare(one, other));
  }

  /** @param {string} key */
  isPending(key) {
    return this.given.has(key) || this.facts.get(`order/${key}`)?.state === "pending";
  }
}

// One view.

class View {
  /**
   * @param {Model} model
   * @param {Store} store
   * @param {HTMLElement} el
   */
  constructor(model, store, el) {
    this.model = model;
    this.store = store;
    this.el = el;
    this.id = Math.random().toString(36).slice(2);
    this.counter = 0;
    this.filter = "";
    /** The share whose end is asked about. */
    this.question = "";
    this.copied = "";
    this.began = Date.now();
    // The attribute keeps JupyterLab's own keys away: D twice would delete the cell.
    this.root = /** @type {HTMLElement} */ (h("div", { class: "jp-SSPCloudPanel", role: "region", "aria-label": "SSPCloud", "data-lm-suppress-shortcuts": "true" }));
    this.live = h("div", { class: cls("said"), role: "status", "aria-live": "polite" });
    this.body = h("div", { class: cls("body") });
    this.root.append(this.body, this.live);
    el.append(this.root);
  }

  // Words.

  get language() {
    const named = this.model.get("language") || navigator.language || "en";
    return named.toLowerCase().startsWith("fr") ? "fr" : "en";
  }

  /**
   * @param {string} key
   * @param {Record<string, unknown>} [values]
   */
  t(key, values = {}) {
    const text = WORDS[this.language][key] ?? WORDS.en[key] ?? key.slice(key.indexOf(".") + 1);
    const spaced = this.language === "fr" ? text.replace(/ ([?!:;»])/g, "\u00a0$1").replace("« ", "«\u00a0") : text;
    return spaced.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
  }

  /** @param {number} bytes */
  size(bytes) {
    const units = this.language === "fr" ? ["o", "Kio", "Mio", "Gio", "Tio"] : ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    let amount = bytes;
    while (amount >= 1024 && unit < units.length - 1) {
      amount /= 1024;
      unit += 1;
    }
    const digits = unit ? 1 : 0;
    return `${amount.toLocaleString(this.language, { minimumFractionDigits: digits, maximumFractionDigits: digits })}\u00a0${units[unit]}`;
  }

  /** @param {number | null} created */
  age(created) {
    if (!created) return "";
    const seconds = Math.max(0, Math.floor(Date.now() / 1000) - created);
    /** @type {[number, string][]} */
    const steps = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
    const [length, unit] = steps.find(([long]) => seconds >= 2 * long) ?? [1, "s"];
    return `${Math.floor(seconds / length)}${this.t(`unit.${unit}`)}`;
  }

  // Small things.

  /** @param {string} tone @param {string} word */
  badge(tone, word) {
    return h("span", { class: cls("state"), "data-tone": tone }, h("span", { class: cls("shape"), "aria-hidden": "true" }, SHAPES[tone] ?? "○"), " ", word);
  }

  /**
   * A button that gives an order.
   * @param {unknown} content
   * @param {string} key
   * @param {Order} order
   * @param {Record<string, unknown>} [attributes]
   */
  button(content, key, order, attributes = {}) {
    const pending = this.store.isPending(key);
    return h(
      "button",
      {
        type: "button",
        class: cls("button"),
        "data-key": `order ${key}`,
        "data-order": JSON.stringify(order),
        "data-name": key,
        "aria-busy": pending ? "true" : null,
        "aria-disabled": pending || this.store.ended ? "true" : null,
        ...attributes,
      },
      h("span", { class: cls("face") }, content),
    );
  }

  /** Why an order failed, or that nobody answers; nothing where all is well. @param {string} key */
  outcome(key) {
    const given = this.store.given.get(key);
    if (given && Date.now() - given > SILENT) return h("p", { class: cls("note"), "data-key": `slow ${key}` }, this.t("silent"));
    const fact = this.store.facts.get(`order/${key}`);
    if (fact?.state !== "failed") return null;
    return h("div", { class: cls("failure"), role: "alert", "data-key": `failed ${key}` }, this.trouble(fact.error));
  }

  /** What went wrong, why, and what to do next. @param {Fact} error */
  trouble(error) {
    const french = this.language === "fr";
    const step = `step.${error.code}`;
    const known = step in WORDS.en;
    const mend = known ? [this.t(step)] : String(error.mend ?? "").split("\n").filter(Boolean);
    const own = french ? ERRORS_FR[error.code] ?? ERRORS_FR[error.family] ?? ERRORS_FR.SspcloudError : "";
    return [
      h("p", { class: cls("what") }, h("span", { class: cls("shape"), "data-tone": "bad", "aria-hidden": "true" }, "✕"), " ", own || error.what),
      french && h("p", { class: cls("faint"), lang: "en" }, error.what),
      error.why && h("p", { class: cls("faint"), lang: french ? "en" : null }, error.why),
      mend.map((line) => h("p", { class: cls("step"), lang: french && !known ? "en" : null }, "→ ", this.prose(line))),
    ];
  }

  /**
   * A sentence in which commands are set as code: up to three blanks, behind a colon, or as far as it looks like one.
   * @param {string} text
   */
  prose(text) {
    const [, before = "", command = "", after = ""] = /^()(%.+?) {3}(.*)$/.exec(text) ?? /^(.*: )(%.+)()$/.exec(text) ?? [];
    if (command) return [before, h("code", {}, command), after && ` ${after}`];
    return text.split(/(%\w+(?: (?:--?\w+|[A-ZÈ.]{2,}|[\w.-]*[-./][\w./-]*\w|\d\w+))*)/).map((piece, index) => (index % 2 ? h("code", {}, piece) : piece));
  }

  /**
   * @param {string} name
   * @param {unknown} heading
   * @param {...unknown} content
   */
  section(name, heading, ...content) {
    const id = `${this.id}-${name}`;
    return h("section", { class: cls("section"), "data-key": name, "data-section": name, "aria-labelledby": id }, h("h3", { id, tabindex: "-1" }, heading), content);
  }

  /**
   * @param {string} name
   * @param {string[]} headings
   * @param {Element[]} rows
   */
  table(name, headings, rows) {
    // The roles are said because a narrow panel sets the table as blocks, which would take them away.
    return h(
      "div",
      { class: cls("scroll"), "data-key": `table ${name}`, tabindex: rows.length > 12 ? "0" : null, role: rows.length > 12 ? "group" : null, "aria-label": rows.length > 12 ? this.t(name) : null },
      h(
        "table",
        { role: "table", "aria-label": this.t(name), class: cls(`table-${name}`) },
        h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, headings.map((heading) => h("th", { role: "columnheader", scope: "col" }, heading)))),
        h("tbody", { role: "rowgroup" }, rows),
      ),
    );
  }

  /** @param {string} key @param {unknown[]} cells @param {unknown} [below] */
  row(key, cells, below) {
    return h(
      "tr",
      { role: "row", "data-key": key },
      cells.map((cell, index) => h(index === 1 ? "th" : "td", { role: index === 1 ? "rowheader" : "cell", scope: index === 1 ? "row" : null }, cell, index === 1 && below)),
    );
  }

  /** @param {string} text */
  empty(text) {
    return h("p", { class: cls("empty") }, this.prose(text));
  }

  /** What stands where a table would, while there is none; null where there is one. @param {string} look @param {number} count @param {string} sentence */
  instead(look, count, sentence) {
    const told = this.store.facts.get(`look/${look}`);
    if (told && told !== true) return h("div", { class: cls("failure") }, this.trouble(told));
    if (count) return null;
    return told ? this.empty(sentence) : h("p", { class: cls("note") }, this.t("asking"));
  }

  // The sections.

  header() {
    const who = this.store.facts.get("who");
    const chip = (/** @type {string} */ label, /** @type {unknown} */ text) => h("span", { class: cls("fact") }, h("span", { class: cls("faint") }, label, " "), text);
    return h(
      "header",
      { class: cls("header"), "data-key": "header" },
      h("svg", { viewBox: "0 0 24 24", class: cls("mark"), "aria-hidden": "true" },
        h("path", { d: "M7 18.5h10.2a4.3 4.3 0 0 0 .5-8.6A6 6 0 0 0 6.2 10 4.3 4.3 0 0 0 7 18.5Z", class: cls("cloud") }),
        h("path", { d: "M12 21.5v-8m-2.8 2.6 2.8-2.8 2.8 2.8", class: cls("arrow") })),
      h(
        "div",
        { class: cls("who") },
        h("strong", {}, who ? who.user || this.t("unnamed") : "SSPCloud"),
        who && h("div", { class: cls("facts") }, chip(this.t("namespace"), who.namespace), chip(this.t("server"), who.server), chip(this.t("source"), who.source)),
        who?.warning && h("p", { class: cls("step") }, h("span", { class: cls("shape"), "data-tone": "waiting", "aria-hidden": "true" }, "▲"), " ", h("span", { lang: "en" }, this.prose(who.warning))),
      ),
    );
  }

  banner() {
    const { facts, told, ended } = this.store;
    if (ended) return h("div", { class: cls("banner"), role: "alert", "data-key": "banner" }, h("p", {}, this.t("gone")));
    if (!told) return h("div", { class: cls("banner"), "data-key": "banner" }, h("p", {}, this.t(Date.now() - this.began > SILENT ? "silent" : "loading")));
    const trouble = facts.get("look/who");
    if (!trouble || trouble === true) return null;
    return h("div", { class: cls("banner"), role: "alert", "data-key": "banner" }, this.trouble(trouble), this.button(this.t("retry"), "again", { do: "look again" }));
  }

  forwards() {
    const rows = this.store.under("forward/").map(([id, forward]) => {
      const [sent, received, open] = this.store.facts.get(`traffic/${id}`) ?? [0, 0, 0];
      const key = `stop ${id}`;
      const addresses = forward.ports.map((/** @type {[number, unknown]} */ [local]) => `${forward.address.includes(":") ? `[${forward.address}]` : forward.address}:${local}`);
      return this.row(
        `forward ${id}`,
        [
          this.badge(FORWARD_TONES[forward.state], this.t(`state.${forward.state}`)),
          h("span", { class: cls("target") }, this.own(forward.target), forward.ports.map((/** @type {[number, unknown]} */ [, remote]) => h("span", { class: cls("faint") }, ` :${remote}`))),
          addresses.map((/** @type {string} */ address) => h("span", { class: cls("address"), "data-key": `address ${address}` }, h("code", {}, address), this.copyButton(address))),
          [
            this.sparkline(`traffic/${id}`),
            h("span", { class: cls("bytes") },
              h("span", { class: cls("number") }, h("span", { "aria-hidden": "true" }, "↓ "), this.size(received), h("span", { class: cls("hidden") }, ` ${this.t("received")}`)), " ",
              h("span", { class: cls("number") }, h("span", { "aria-hidden": "true" }, "↑ "), this.size(sent), h("span", { class: cls("hidden") }, ` ${this.t("sent")}`)), " ",
              open > 0 && h("span", { class: `${cls("number")} ${cls("faint")}` }, `${open} ${this.t("open")}`)),
          ],
          this.button(this.t("stop"), key, { do: "stop", forward: Number(id) }, { "aria-label": this.t("stopNamed", { name: forward.target }) }),
        ],
        [forward.reason && h("p", { class: cls("faint"), lang: this.language === "fr" ? "en" : null }, forward.reason), this.outcome(key)],
      );
    });
    const headings = ["state", "target", "address", "traffic", "actions"].map((key) => this.t(key));
    return this.section("forwards", this.t("forwards"), rows.length ? this.table("forwards", headings, rows) : this.empty(this.t("noForwards")));
  }

  /** A target without what one's own namespace goes without saying. @param {string} target */
  own(target) {
    const mine = `${this.store.facts.get("who")?.namespace}/`;
    return target.startsWith(mine) ? target.slice(mine.length) : target;
  }

  /** @param {string} key */
  sparkline(key) {
    const slots = this.store.history.get(key) ?? new Map();
    const now = Math.floor(Date.now() / SLOT);
    const values = Array.from({ length: SLOTS }, (_, index) => slots.get(now - SLOTS + 1 + index) ?? 0);
    const most = Math.max(...values, 1);
    // The square root lets a query be seen beside a download.
    const points = values.map((value, index) => `${((index * 96) / (SLOTS - 1) + 2).toFixed(1)} ${(22 - 18 * Math.sqrt(value / most)).toFixed(1)}`);
    const idle = values.every((value) => !value);
    return h(
      "svg",
      { viewBox: "0 0 100 24", class: cls("sparkline"), "data-idle": idle ? "" : null, "aria-hidden": "true", preserveAspectRatio: "none" },
      h("path", { class: cls("area"), d: `M${points.join("L")}L98 23L2 23Z` }),
      h("path", { class: cls("line"), d: `M${points.join("L")}` }),
    );
  }

  /** @param {string} text */
  copyButton(text) {
    const copied = this.copied === text;
    return h(
      "button",
      { type: "button", class: `${cls("button")} ${cls("quiet")}`, "data-copy": text, "data-key": `copy ${text}`, "aria-label": this.t(copied ? "copied" : "copyNamed", { name: text }) },
      h("span", { class: cls("face") }, this.t(copied ? "copied" : "copy")),
    );
  }

  /** @param {string} kind @param {string} name @param {[number, string][]} ports */
  ports(kind, name, ports) {
    if (!ports.length) return { cell: h("span", { class: cls("faint") }, this.t("noPorts")), below: null };
    const mine = `${this.store.facts.get("who")?.namespace}/${kind}/${name}`;
    const open = this.store.under("forward/").filter(([, forward]) => forward.target === mine && forward.state !== "failed");
    const keys = ports.map(([port]) => `forward ${kind}/${name}:${port}`);
    const buttons = ports.map(([port, label], index) => {
      const done = open.some(([, forward]) => forward.ports.some((/** @type {[number, unknown]} */ pair) => pair[1] === port));
      return this.button(
        [String(port), label && h("span", { class: cls("faint") }, ` ${label}`), done && h("span", { "aria-hidden": "true" }, " ✓")],
        keys[index],
        { do: "forward", kind, name, port },
        { class: `${cls("button")} ${cls("port")}`, "aria-label": this.t(done ? "forwarded" : "forwardPort", { port, name }), "aria-pressed": done ? "true" : null },
      );
    });
    return { cell: h("span", { class: cls("ports") }, buttons), below: keys.map((key) => this.outcome(key)) };
  }

  /** @param {"pods" | "services"} name @param {"pod" | "service"} fact @param {string} kind @param {string} sentence */
  things(name, fact, kind, sentence) {
    const { facts } = this.store;
    const all = this.store.under(`${fact}/`);
    const shown = all.filter(([each]) => each.includes(this.filter.trim()));
    const instead = this.instead(name, all.length, this.t(sentence, { namespace: facts.get("who")?.namespace ?? "" }));
    if (instead) return instead;
    if (!shown.length) return this.empty(this.t("noMatch", { name: this.filter.trim() }));
    const rows = shown.map(([each, value]) => {
      const { cell, below } = this.ports(kind, each, value.ports);
      const state = fact === "pod" ? this.badge(value.tone, `${value.state}`) : h("span", { class: cls("faint") }, value.type);
      return this.row(`${fact} ${each}`, [state, each, cell, ...(fact === "pod" ? [h("span", { class: cls("labelled"), "data-label": this.t("restarts") }, String(value.restarts))] : []), h("span", { class: `${cls("number")} ${cls("labelled")}`, "data-label": this.t("age") }, this.age(value.created))], below);
    });
    const headings = ["state", "name", "ports", ...(fact === "pod" ? ["restarts"] : []), "age"].map((key) => this.t(key));
    return this.table(name, headings, rows);
  }

  filterBox() {
    const many = this.store.under("pod/").length + this.store.under("service/").length;
    if (many < 6 && !this.filter) return null;
    return h("input", { type: "search", class: cls("input"), "data-key": "filter", "data-filter": "", placeholder: this.t("filter"), "aria-label": this.t("filter") });
  }

  databases() {
    const connections = this.store.under("connection/").map(([, each]) => each);
    const listed = this.store.under("database/");
    const rows = listed.map(([path, each]) => {
      const key = `connect ${path}`;
      const asleep = ["hibernated", "suspended"].includes(each.state);
      const usable = each.kind === "postgres" && !asleep;
      return this.row(
        `database ${path}`,
        [
          this.badge(each.tone, this.t(`state.${each.state}`)),
          each.name,
          h("span", { class: cls("faint") }, each.kind),
          usable && this.button(this.t("connect"), key, { do: "connect", database: path }, { "aria-label": this.t("connectNamed", { name: path }) }),
        ],
        [asleep && h("p", { class: cls("faint") }, this.t("asleep")), this.outcome(key)],
      );
    });
    const instead = this.instead("databases", rows.length, this.t("noDatabases", { namespace: this.store.facts.get("who")?.namespace ?? "" }));
    return this.section(
      "databases",
      this.t("databases"),
      connections.map((each) =>
        h("p", { class: cls("connected"), "data-key": `connection ${each.database} ${each.user} ${each.dbname}` }, h("span", { class: cls("shape"), "data-tone": each.current ? "good" : "over", "aria-hidden": "true" }, each.current ? "●" : "○"), " ",
          this.prose(this.t(each.current ? "connected" : "alsoConnected", { name: this.own(each.database), user: each.user })))),
      instead ?? this.table("databases", [this.t("state"), this.t("name"), this.t("kind"), this.t("actions")], rows),
      h(
        "form",
        { class: cls("form"), "data-key": "form", "data-connect": "" },
        h("label", { for: `${this.id}-database`, class: cls("faint") }, this.t("connectOther")),
        h("input", { type: "text", class: cls("input"), name: "database", id: `${this.id}-database`, placeholder: "user-alice/postgresql-cnpg-951239", autocomplete: "off", spellcheck: "false" }),
        h("button", { type: "submit", class: cls("button"), "data-name": "connect", "aria-label": this.t("connectNamed", { name: this.t("connectOther") }), "aria-busy": this.store.isPending("connect") ? "true" : null, "aria-disabled": this.store.isPending("connect") ? "true" : null }, h("span", { class: cls("face") }, this.t("connect"))),
      ),
      this.outcome("connect"),
    );
  }

  shares() {
    const rows = this.store.under("share/").map(([path, share]) => {
      const key = `revoke ${path}`;
      const name = share.database;
      const values = { name, colleague: share.colleague };
      const until = share.until >= 2 ** 40 ? this.t("forever") : new Date(share.until * 1000).toLocaleString(this.language, { dateStyle: "medium", timeStyle: "short" });
      const question = this.question === path && h(
        "div",
        { class: cls("question"), role: "group", "data-key": `question ${path}`, "aria-label": this.t("revokeSure", values) },
        h("p", {}, this.t("revokeSure", values)),
        this.button(this.t("revokeYes"), key, { do: "revoke", database: name, colleague: share.colleague }, { class: `${cls("button")} ${cls("danger")}` }),
        " ",
        h("button", { type: "button", class: cls("button"), "data-question": "", "data-keep": "" }, h("span", { class: cls("face") }, this.t("revokeNo"))),
      );
      return this.row(
        `share ${path}`,
        [
          this.badge(share.tone, this.t(`state.${share.state}`)),
          name,
          share.colleague,
          [h("span", { class: cls("state") }, this.t(`access.${share.access}`)), share.schemas && h("span", { class: cls("faint") }, ` ${share.schemas}`)],
          until,
          h("button", { type: "button", class: cls("button"), "data-question": path, "aria-expanded": String(this.question === path), "aria-label": this.t("revokeNamed", values), "aria-busy": this.store.isPending(key) ? "true" : null }, h("span", { class: cls("face") }, this.t("revoke"))),
        ],
        [question, this.outcome(key)],
      );
    });
    const instead = this.instead("shares", rows.length, this.t("noShares"));
    const headings = ["state", "database", "colleague", "access", "until", "actions"].map((key) => this.t(key));
    return this.section("shares", this.t("shares"), instead ?? this.table("shares", headings, rows));
  }

  sandbox() {
    const sandbox = this.store.facts.get("sandbox");
    if (!sandbox) return null;
    const who = this.store.facts.get("who");
    const inside = sandbox.running && who?.server === sandbox.server;
    const orders = ["start sandbox", "stop sandbox", ...PEOPLE.map((person) => `become ${person}`)];
    return this.section(
      "sandbox",
      this.t("sandbox"),
      h("p", { class: cls("sandbox") }, h("span", { class: cls("shape"), "data-tone": sandbox.running ? "good" : "over", "aria-hidden": "true" }, sandbox.running ? "●" : "○"), " ", this.t(sandbox.running ? "sandboxOn" : "sandboxOff", sandbox)),
      h(
        "div",
        { class: cls("row") },
        sandbox.running
          ? [
              h("span", { class: cls("group"), role: "group", "aria-label": this.t("actAs"), "data-key": "people" }, h("span", { class: cls("faint") }, this.t("actAs")),
                PEOPLE.map((person) => this.button(person, `become ${person}`, { do: "become", person }, { "aria-pressed": String(inside && who.user === `oidc-${person}`) }))),
              this.button(this.t("stop"), "stop sandbox", { do: "stop sandbox" }, { "aria-label": this.t("stopSandbox") }),
            ]
          : this.button(this.t("start"), "start sandbox", { do: "start sandbox" }, { "aria-label": this.t("startNamed") }),
      ),
      orders.map((key) => this.outcome(key)),
    );
  }

  // Drawing.

  draw() {
    const { facts, told, ended } = this.store;
    const next = h("div", { class: cls("body"), lang: this.language });
    next.append(.../** @type {Node[]} */ ([this.header(), this.banner()].filter(Boolean)));
    if (told && !ended) {
      const known = facts.has("who");
      const hopeless = facts.has("look/who") && facts.get("look/who") !== true;
      const cluster = !hopeless && known;
      next.append(.../** @type {Node[]} */ ([
        (cluster || this.store.under("forward/").length > 0) && this.forwards(),
        !known && !hopeless && h("p", { class: cls("note"), "data-key": "asking" }, this.t("asking")),
        cluster && h("div", { class: cls("columns"), "data-key": "columns" },
          h("div", { class: cls("column") },
            this.section("services", this.t("services"), this.filterBox(), this.things("services", "service", "svc", "noServices")),
            this.section("pods", this.t("pods"), this.things("pods", "pod", "pod", "noPods"))),
          h("div", { class: cls("column") }, this.databases(), this.shares())),
        this.sandbox(),
      ].filter(Boolean)));
    }
    const focused = document.activeElement;
    const home = focused && this.body.contains(focused) ? focused.closest("section") : null;
    morph(this.body, next);
    // What had the focus may be gone, as a stopped forward is: its section takes it, not the page.
    if (home && focused && !focused.isConnected) /** @type {HTMLElement | null} */ (this.body.querySelector(`[data-section="${home.getAttribute("data-section")}"] h3`))?.focus();
  }

  /** @param {string[]} changed */
  announce(changed) {
    const said = [];
    for (const key of changed) {
      const fact = this.store.facts.get(key);
      if (key.startsWith("forward/") && fact) said.push(`${fact.target}: ${this.t(`state.${fact.state}`)}`);
      if (key.startsWith("connection/") && fact?.current) said.push(this.t("connected", { name: fact.database, user: fact.user }));
    }
    if (said.length) this.live.textContent = said.join(". ");
  }

  // Doing.

  /** @param {Order} order @param {string} key */
  give(order, key) {
    if (this.store.isPending(key) || this.store.ended) return;
    this.store.given.set(key, Date.now());
    this.counter += 1;
    this.model.send({ ...order, key, id: `${this.id}.${this.counter}` });
    this.question = "";
    for (const listener of this.store.listeners) listener([]);
  }

  /** @param {MouseEvent} event */
  click(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (!button || button.type === "submit") return;
    const { order, name, copy, question } = button.dataset;
    if (order && name) {
      if (button.getAttribute("aria-pressed") !== "true") this.give(JSON.parse(order), name);
    } else if (copy) this.copyText(copy);
    else if (question !== undefined) this.ask(question);
  }

  /** @param {string} question */
  ask(question) {
    const before = this.question;
    this.question = question === before ? "" : question;
    this.draw();
    const next = this.question ? this.body.querySelector("[data-keep]") : this.body.querySelector(`[data-question="${CSS.escape(before)}"]`);
    /** @type {HTMLElement | null} */ (next)?.focus();
  }

  /** @param {string} text */
  async copyText(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // A page that is not served over TLS has no clipboard; a selected text can be copied everywhere.
      const area = /** @type {HTMLTextAreaElement} */ (h("textarea", { class: cls("hidden"), "aria-hidden": "true" }));
      const focused = /** @type {HTMLElement | null} */ (document.activeElement);
      area.value = text;
      this.root.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      focused?.focus();
    }
    this.copied = text;
    this.live.textContent = this.t("copied");
    this.draw();
    setTimeout(() => {
      this.copied = "";
      this.draw();
    }, 1500);
  }

  /** @param {boolean} seen @param {boolean} [fresh] */
  look(seen, fresh = false) {
    this.model.send({ do: "look", view: this.id, seen, new: fresh });
  }

  /** @param {AbortSignal} signal */
  run(signal) {
    const { store, root } = this;
    const options = { signal };
    let onScreen = true;
    let drawn = 0;
    const seen = () => onScreen && document.visibilityState === "visible";
    const listener = (/** @type {string[]} */ changed) => {
      this.announce(changed);
      if (!drawn) drawn = requestAnimationFrame(() => {
        drawn = 0;
        this.draw();
      });
    };
    store.listeners.add(listener);
    root.addEventListener("click", (event) => this.click(event), options);
    root.addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      const input = /** @type {HTMLInputElement} */ (root.querySelector('input[name="database"]'));
      if (input.value.trim()) this.give({ do: "connect", database: input.value.trim() }, "connect");
    }, options);
    root.addEventListener("input", (event) => {
      const input = /** @type {HTMLInputElement} */ (event.target);
      if (input.dataset.filter === undefined) return;
      this.filter = input.value;
      this.draw();
    }, options);
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.question) this.ask("");
    }, options);
    const observer = new IntersectionObserver((entries) => {
      const before = seen();
      onScreen = entries[entries.length - 1].isIntersecting;
      if (seen() !== before) this.look(seen());
    });
    observer.observe(root);
    document.addEventListener("visibilitychange", () => onScreen && this.look(seen()), options);
    const beat = setInterval(() => seen() && this.look(true), BEAT);
    const tick = setInterval(() => {
      const busy = store.history.size > 0 || store.given.size > 0 || !store.told;
      if (seen() && busy) this.draw();
    }, SLOT);
    signal.addEventListener("abort", () => {
      store.listeners.delete(listener);
      observer.disconnect();
      clearInterval(beat);
      clearInterval(tick);
      cancelAnimationFrame(drawn);
      if (!store.ended) this.look(false);
    });
    this.draw();
    this.look(true, true);
  }
}

export default () => {
  const store = new Store();
  return {
    /** @param {{ model: Model }} context */
    initialize({ model }) {
      const take = (/** @type {any} */ message) => store.take(message);
      const end = () => {
        store.ended = true;
        for (const listener of store.listeners) listener([]);
      };
      model.on("msg:custom", take);
      model.on("comm_live_update", end);
      return () => {
        model.off("msg:custom", take);
        model.off("comm_live_update", end);
      };
    },
    /** @param {{ model: Model, el: HTMLElement }} context */
    render({ model, el }) {
      const closing = new AbortController();
      const view = new View(model, store, el);
      const translate = () => view.draw();
      model.on("change:language", translate);
      view.run(closing.signal);
      return () => {
        model.off("change:language", translate);
        closing.abort();
      };
    },
  };
};
