/** One's own profile, to be changed. */

import { attempt, avatar, h, toast } from "./dom.js";

export async function drawProfile(main, place) {
  const user = await main.client.rest("GET", "/users/me");
  const text = (label, name, value, attributes) => h("label", { class: "field" }, h("span", {}, label), h("input", { name, value: value ?? "", autocomplete: "off", ...attributes }));
  const form = h("form", { class: "panel", onsubmit: async (event) => {
    event.preventDefault();
    const { display_name, city, bio } = Object.fromEntries(new FormData(form));
    if (!(await attempt(() => main.client.rest("PATCH", "/users/me", { display_name, city: city || null, bio: bio || null })))) return;
    user.display_name = display_name.trim();
    main.model.people.learn([{ ...user }]);
    main.model.emit("list");
    toast("Saved.");
  } }, h("div", { class: "profile" }, avatar(user.id, user.display_name, { big: true, url: user.avatar_url }), h("p", { class: "muted" }, user.email)),
  text("Name", "display_name", user.display_name, { required: true, maxlength: "60" }), text("City", "city", user.city, { maxlength: "100" }),
  h("label", { class: "field" }, h("span", {}, "About you"), h("textarea", { name: "bio", rows: "3", maxlength: "500" }, user.bio ?? "")),
  h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Save")));
  place.replaceChildren(form);
}
