// What tests ask a page, as one expression: `(this file).tooFaint()`.
({
  // Texts with less contrast to what is behind them than WCAG 2.2 AA asks for (1.4.3), as "text: ratio".
  tooFaint() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => value * a + under[i] * (1 - a));
    const light = (colour) => {
      const [r, g, b] = colour.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      const colours = [];
      for (let at = element; at; at = at.parentElement) colours.push(rgba(getComputedStyle(at).backgroundColor));
      return colours.reverse().reduce((under, colour) => over(colour, under), [255, 255, 255]);
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      const text = walker.currentNode.data.trim();
      if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || element.closest(".unseen, :disabled, noscript")) continue;
      const style = getComputedStyle(element);
      const back = behind(element);
      const [a, b] = [light(over(rgba(style.color), back)), light(back)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
      if (ratio < (large ? 3 : 4.5)) found.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
    return found;
  },

  // What can be clicked and has no name, and pictures without a text instead.
  nameless() {
    return [...document.querySelectorAll("button, a, input:not([hidden]), textarea, select, img, [role=img]")]
    .filter((element) => element.checkVisibility())
    .filter((element) => !(element.getAttribute("aria-label") || element.textContent.trim() || element.labels?.length
      || element.getAttribute("alt") !== null))
    .map((element) => element.outerHTML.slice(0, 120));
  },

  // What ARIA and HTML forbid: ids used twice or meant and not there, controls in controls, roles without their place.
  broken() {
    const found = [];
    const say = (what, element) => found.push(`${what}: ${element.outerHTML.slice(0, 100)}`);
    const ids = new Set();
    for (const element of document.querySelectorAll("[id]")) {
      if (ids.has(element.id)) say("id used twice", element);
      ids.add(element.id);
    }
    for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "aria-activedescendant"]) {
      for (const element of document.querySelectorAll(`[${name}]`)) {
        for (const id of element.getAttribute(name).split(" ")) if (!ids.has(id)) say(`${name} of nothing`, element);
      }
    }
    for (const element of document.querySelectorAll("a button, button a, button button, a a, label label, button input")) say("a control in a control", element);
    for (const element of document.querySelectorAll("[role=option]:not([role=listbox] *), [role=menuitem]:not([role=menu] *)")) say("a role without its place", element);
    for (const element of document.querySelectorAll("[tabindex]")) if (element.tabIndex > 0) say("a tab order of its own", element);
    for (const element of document.querySelectorAll("ul > :not(li), ol > :not(li), li:not(ul > li, ol > li)")) say("a list that is none", element);
    for (const element of document.querySelectorAll("dialog[open], section, nav, aside, [role=group], [role=listbox]")) {
      if (!element.getAttribute("aria-label") && !element.getAttribute("aria-labelledby")) say("no name", element);
    }
    for (const element of document.querySelectorAll("[aria-hidden=true] :is(button, a[href], input)")) if (element.checkVisibility()) say("hidden and in reach", element);
    if (document.querySelectorAll("h1").length > 1) found.push("more than one h1");
    if (!document.documentElement.lang) found.push("no language");
    return found;
  },

  // Controls whose name does not hold what stands on them (WCAG 2.2, 2.5.3).
  misnamed() {
    const tidy = (text) => text.replace(/\s+/g, " ").trim().toLowerCase();
    return [...document.querySelectorAll("button[aria-label], a[aria-label]")].filter((e) => e.checkVisibility()).filter((element) => {
      const shown = element.cloneNode(true);
      for (const hidden of shown.querySelectorAll("[aria-hidden=true], .unseen")) hidden.remove();
      return !tidy(element.getAttribute("aria-label")).includes(tidy(shown.textContent));
    }).map((element) => element.outerHTML.slice(0, 120));
  },

  // What is too small to tap (WCAG 2.2, 2.5.8).
  tooSmall() {
    return [...document.querySelectorAll("button:not(p button), .head a")].filter((e) => e.checkVisibility())
        .map((e) => [e, e.getBoundingClientRect()]).filter(([, r]) => r.width < 24 || r.height < 24).map(([e]) => e.outerHTML);
  },

  // Sixty messages, less three, of whoever is logged in, in the conversation that is open.
  async writeMany() {
    const { access_token } = JSON.parse(localStorage["chatd.session"]);
    const headers = { Authorization: `Bearer ${access_token}`, "Content-Type": "application/json" };
    const chat = location.hash.split("/")[2];
    for (let i = 0; i < 57; i++) {
      const content = { type: "text", text: `old ${i}` };
      await fetch(`/api/chats/${chat}/messages`, { method: "POST", headers, body: JSON.stringify({ client_message_id: `o${i}`, content }) });
    }
  },
})
