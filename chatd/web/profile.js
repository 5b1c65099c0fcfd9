/** One's own profile, to be changed: the picture and the words. */

import { ChatdError } from "./chatd.js";
import { attempt, avatar, h, icon, toast } from "./dom.js";
import { Upload } from "./upload.js";

const SIDE = 512;

export async function drawProfile(main, place) {
  const user = await main.client.rest("GET", "/users/me");
  const tell = () => { main.model.people.learn([{ ...user }]); main.model.emit("list"); };
  const text = (label, name, value, attributes) => h("label", { class: "field" }, h("span", {}, label), h("input", { name, value: value ?? "", autocomplete: "off", ...attributes }));
  const form = h("form", { class: "panel", onsubmit: async (event) => {
    event.preventDefault();
    const { display_name, city, bio } = Object.fromEntries(new FormData(form));
    if (!(await attempt(() => main.client.rest("PATCH", "/users/me", { display_name, city: city || null, bio: bio || null })))) return;
    user.display_name = display_name.trim();
    tell();
    toast("Saved.");
  } }, await picture(main, user, tell),
  text("Name", "display_name", user.display_name, { required: true, maxlength: "60" }), text("City", "city", user.city, { maxlength: "100" }),
  h("label", { class: "field" }, h("span", {}, "About you"), h("textarea", { name: "bio", rows: "3", maxlength: "500" }, user.bio ?? "")),
  h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Save")));
  place.replaceChildren(form);
}

/** The picture, which can be chosen and taken away where the server keeps pictures. */
async function picture(main, user, tell) {
  const has = await main.features.has("PUT", "/users/me/avatar");
  const chooser = h("input", { type: "file", accept: "image/*", hidden: true, onchange: () => { if (chooser.files[0]) attempt(() => put(chooser.files[0])); chooser.value = ""; } });
  const choose = h("button", { type: "button", class: "picture-choice", onclick: () => chooser.click() });
  const remove = h("button", { type: "button", class: "text", onclick: () => attempt(async () => { await main.client.rest("DELETE", "/users/me/avatar"); show(null); }) }, "Remove the picture");
  const state = h("p", { class: "muted", role: "status" });
  const show = (url) => {
    user.avatar_url = url;
    tell();
    draw();
  };
  const draw = () => {
    choose.setAttribute("aria-label", user.avatar_url ? "Choose another picture" : "Choose a picture");
    choose.replaceChildren(avatar(user.id, user.display_name, { big: true, url: user.avatar_url }), icon("camera"));
    remove.hidden = !user.avatar_url;
  };
  const put = async (file) => {
    choose.disabled = true;
    choose.setAttribute("aria-busy", "true");
    try {
      const waiting = (waits) => { state.textContent = waits ? "Other files of yours are on their way: the picture waits for its turn." : ""; };
      const media_id = await new Upload(main, await square(file), { type: "avatar", waiting }).done;
      show((await main.client.rest("PUT", "/users/me/avatar", { media_id })).avatar_url);
    } finally {
      choose.disabled = false;
      choose.removeAttribute("aria-busy");
    }
  };
  draw();
  return h("div", { class: "profile" }, has ? [choose, chooser, state, remove] : avatar(user.id, user.display_name, { big: true, url: user.avatar_url }), h("p", { class: "muted" }, user.email));
}

/** The middle of a picture, as small as a face needs to be. Raises ChatdError for what is no picture. */
async function square(file) {
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    throw new ChatdError("media_rejected", "This is no picture that the browser can read");
  }
  const side = Math.min(image.width, image.height);
  const size = Math.min(SIDE, side);
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  canvas.getContext("2d").drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, size, size);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
  return new File([blob], "avatar.jpg", { type: "image/jpeg" });
}
