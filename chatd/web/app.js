/** The page: who is logged in decides what it shows; the part after # says which conversation. */

import { Chatd } from "./chatd.js";
import { h, toast } from "./dom.js";
import { showLogin } from "./login.js";
import { Model } from "./model.js";
import { closeMenu } from "./menu.js";
import { Features } from "./features.js";
import { logOut } from "./leaving.js";
import { Main } from "./main.js";
import { forgetGone } from "./push.js";

const root = document.getElementById("app");
const client = new Chatd({ url: new URL(".", location.href).href, client: "chatd web" });
let main = null;

function show() {
  closeMenu();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  main?.leave();
  main = null;
  if (!client.user) {
    document.title = "Log in · chatd";
    forgetGone(client); // also of who was logged out from elsewhere, or while no page was open
    showLogin(root, client, show);
    return;
  }
  const model = new Model(client);
  main = new Main(root, client, model, new Features(client));
  client.connect();
  main.start();
}

client.on("session", ({ tokens }) => {
  if (!tokens && main) {
    toast("You have been logged out.");
    show();
  } else if (tokens && main && tokens.user.id !== main.model.me.id) {
    location.reload(); // another tab logged in as somebody else
  }
});

client.on("state", ({ state }) => {
  if (state === "ended" && client.user) {
    root.replaceChildren(h("main", { class: "alone" },
      h("h1", {}, "This account cannot connect"),
      h("p", {}, "The server has closed the door on it. If you think that is a mistake, ask the people who run this server."),
      h("button", { type: "button", class: "primary", onclick: () => logOut(client).catch(() => {}) }, "Log out")));
  }
});

// Where a keyboard covers the page instead of making it smaller (iOS), the page makes itself smaller.
visualViewport?.addEventListener("resize", () => {
  const covered = document.documentElement.clientHeight - visualViewport.height * visualViewport.scale;
  root.style.height = covered > 80 ? `${visualViewport.height}px` : "";
  if (covered > 80) scrollTo(0, 0);
});

show();
